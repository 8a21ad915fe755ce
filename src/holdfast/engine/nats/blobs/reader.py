"""Reading blobs back: messages by their sequence, and what is in them verified."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final
from zlib import crc32

from nats import errors
from nats.js.errors import NotFoundError

from ....errors import CorruptionError, NotFound
from ..link.connection import Link
from ..link.streams import Direct, failure, insist
from .index import Index, Parts, Slice, place_of, stat_of

_WINDOW: Final = 32
"""Messages asked for at once; each has up to a few hundred KiB."""


class Reader:
    """Reads what ``index`` says is in ``stream``."""

    def __init__(self, link: Link, stream: str, subject: str, index: Index) -> None:
        """``subject`` is that of the messages with data."""
        self._link = link
        self._stream = stream
        self._subject = subject
        self._direct = Direct(link, stream)
        self._index = index
        self._room = asyncio.Semaphore(_WINDOW)
        self._packs: dict[int, bytes] = {}
        """Messages that small blobs share, the one read last at the end; what a sequence holds never changes."""
        self._packs_bytes = 0

    async def open(self) -> None:
        """Begin; before anything else."""
        await self._direct.open()

    async def contents(self, digests: Sequence[bytes], max_bytes: int) -> list[bytes | CorruptionError | None]:
        """The first so many blobs that fit, at least one, each whole and verified."""
        wanted: list[tuple[bytes, bytes | None]] = []
        for digest in digests:
            held = self._index.get(digest)
            max_bytes -= 0 if held is None else stat_of(digest, held).size
            if wanted and max_bytes < 0:
                break
            wanted.append((digest, held))
        messages = await self._contained(held for _, held in wanted if held is not None)
        return [None if held is None else await self._whole(digest, held, messages) for digest, held in wanted]

    async def _whole(
        self, digest: bytes, held: bytes, messages: dict[int, bytes | None]
    ) -> bytes | CorruptionError | None:
        while True:
            data = _joined(held, messages)
            got = "" if data is None else sha256(data).hexdigest()
            if got == digest.hex():
                return data
            now = self._index.get(digest)
            if now == held:
                return CorruptionError(where=f"blob {digest.hex()}", expected=digest.hex(), got=got or "nothing")
            if now is None:
                return None
            held = now  # it was moved while we read
            messages = await self._contained([held])

    async def part(self, digest: bytes, offset: int, length: int) -> bytes:
        """Part of a blob, verified; NotFound, CorruptionError."""
        held = self._index.get(digest)
        if held is None:
            raise NotFound(kind="blob", name=digest.hex())
        place = place_of(held)
        if isinstance(place, Slice):
            (data,) = await self.contents([digest], 1)
            if data is None:
                raise NotFound(kind="blob", name=digest.hex())
            if isinstance(data, CorruptionError):
                raise data
            return data[offset : offset + length]
        first, last = offset // place.part_bytes, (offset + length - 1) // place.part_bytes
        parts = place.parts[first : last + 1]
        messages = await self.messages([sequence for sequence, _ in parts])
        for number, (sequence, crc) in enumerate(parts, first):
            data = messages[sequence]
            if data is None and self._index.get(digest) is None:
                raise NotFound(kind="blob", name=digest.hex())
            if data is None or crc32(data) != crc:
                got = "nothing" if data is None else f"{crc32(data):08x}"
                raise CorruptionError(where=f"blob {digest.hex()}, part {number}", expected=f"{crc:08x}", got=got)
        start = offset - first * place.part_bytes
        return b"".join([messages[sequence] or b"" for sequence, _ in parts])[start : start + length]

    async def _contained(self, helds: Iterable[bytes]) -> dict[int, bytes | None]:
        """The messages that blobs are in."""
        found: dict[int, bytes | None] = {}
        packs: set[int] = set()
        wanted: list[int] = []
        for held in helds:
            place = place_of(held)
            if isinstance(place, Parts):
                wanted += [sequence for sequence, _ in place.parts]
            elif place.sequence not in found:
                data = found[place.sequence] = self._packs.pop(place.sequence, None)
                if data is None:
                    packs.add(place.sequence)
                    wanted.append(place.sequence)
                else:
                    self._packs[place.sequence] = data
        if wanted:
            read = await self.messages(wanted)
            found |= read
            self._keep({sequence: read[sequence] for sequence in packs})
        return found

    def _keep(self, packs: dict[int, bytes | None]) -> None:
        """Keep them for the next reader, and let those go that nobody read for longest."""
        for sequence, data in packs.items():
            if data is not None and sequence not in self._packs:
                self._packs[sequence] = data
                self._packs_bytes += len(data)
        while self._packs_bytes > self._link.limits.nats_read_cache_bytes:
            oldest = next(iter(self._packs))
            self._packs_bytes -= len(self._packs.pop(oldest))

    async def messages(self, sequences: Iterable[int]) -> dict[int, bytes | None]:
        """The payload of each; None for one that is not there.  StorageError if nobody answers."""
        wanted = list(dict.fromkeys(sequences))
        if len(wanted) == 1:
            return {wanted[0]: await self._message(wanted[0])}
        return dict(zip(wanted, await asyncio.gather(*map(self._message, wanted)), strict=True))

    async def _message(self, sequence: int) -> bytes | None:
        """From the nearest server; if that one does not have it, from the one that must know."""
        async with self._room:
            found = await self._direct.read(self._subject, sequence, messages=1, max_bytes=0)
            if found and found[0].sequence == sequence:
                return found[0].data
            try:
                return (await insist(lambda: self._link.js.get_msg(self._stream, seq=sequence))).data or b""
            except NotFoundError:
                return None
            except (errors.Error, OSError) as error:
                raise failure(self._link, self._stream, error) from error


def _joined(held: bytes, messages: dict[int, bytes | None]) -> bytes | None:
    """The blob; None if some of it is not there."""
    place = place_of(held)
    if isinstance(place, Slice):
        data = messages[place.sequence]
        return None if data is None else data[place.offset : place.offset + place.size]
    parts = [messages[sequence] for sequence, _ in place.parts]
    return None if None in parts else b"".join([part or b"" for part in parts])
