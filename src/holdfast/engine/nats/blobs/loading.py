"""Taking over the stream of blobs at start: shut out who had it, read the index, find what belongs to nothing."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from msgspec.json import decode, encode
from nats import errors
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from ....errors import CorruptionError
from ..link.connection import Link
from ..link.streams import Direct, ensure_stream, failure, state_of, take_over
from ..wire import HEADER, Identity, encode_identity
from .commit import IndexReader, opening_body
from .index import Index

_BATCH = 256
_BATCH_BYTES = 8 << 20
_WRONG_LAST = 10071
_RETRY_S = 0.05
_TRIES = 60


class Loaded(NamedTuple):
    """What there is."""

    blobs: Index
    last: int
    """The stream's last sequence, that of a message of ours."""
    messages: int
    """Of the index, and their size in bytes."""
    size: int


async def load(link: Link, name: str, data_subject: str, index_subject: str, *, epoch: int) -> Loaded:
    """Own the stream, and know what is in it.  CorruptionError, StorageError.

    The index's :attr:`~Index.freed` has all messages that belong to nothing: of uploads and commits that never came to
    their end, and what was deleted and not yet removed.
    """
    subjects = [data_subject, index_subject]
    await ensure_stream(link, name, subjects=subjects)
    await take_over(link, name, subjects=subjects)
    stream = link.stream(name)
    last = await _fence(link, stream, index_subject, epoch)
    index = Index()
    seen, size = await _read(link, stream, index_subject, last, index)
    index.freed = await _orphans(link, stream, last, seen | index.messages())
    return Loaded(index, last, len(seen), size)


async def _fence(link: Link, stream: str, subject: str, epoch: int) -> int:
    """A message of ours, so that whoever looks finds who has the stream; what was there before comes before it."""
    stamp = encode_identity(Identity(epoch, 0))
    tries = _TRIES
    while True:
        last = (await state_of(link, stream)).last
        headers = {"Nats-Expected-Last-Sequence": str(last), HEADER: stamp}
        try:
            return (await link.js.publish(link.writing(subject), opening_body(), headers=headers)).seq
        except NoStreamResponseError as error:  # not all servers know yet that we have it, or somebody else has it now
            tries -= 1
            if not tries:
                raise failure(link, stream, error) from error
            await asyncio.sleep(_RETRY_S)
        except APIError as error:
            if error.err_code != _WRONG_LAST:
                raise failure(link, stream, error) from error
        except (errors.Error, OSError) as error:
            raise failure(link, stream, error) from error


async def _read(link: Link, stream: str, subject: str, last: int, index: Index) -> tuple[set[int], int]:
    """All of the index; the sequences of its messages and their size."""
    direct = Direct(link, stream)
    await direct.open()
    reader = IndexReader(index)
    seen: set[int] = set()
    size, at = 0, 1
    while at <= last:
        found = await direct.read(subject, at, messages=_BATCH, max_bytes=_BATCH_BYTES)
        for stored in found:
            at = stored.sequence + 1
            seen.add(stored.sequence)
            size += len(stored.data)
            try:
                reader.read(stored.data)
            except ValueError as error:
                where = f"stream {stream}, message {stored.sequence}"
                raise CorruptionError(where=where, expected="entries of the index", got=str(error)) from None
        if not found:
            await _wait_for(link, stream, last)
    return seen, size


async def _wait_for(link: Link, stream: str, sequence: int) -> None:
    """The server that answered is behind the others: ask the one that must know, which takes a moment too."""
    try:
        await link.js.get_msg(stream, seq=sequence)
    except (NotFoundError, errors.Error, OSError) as error:
        raise failure(link, stream, error) from error


async def _orphans(link: Link, stream: str, last: int, used: set[int]) -> list[int]:
    """Messages that are in ``used`` not, and in the stream."""
    question = encode({"deleted_details": True})
    try:
        answer = await link.nc.request(f"$JS.API.STREAM.INFO.{stream}", question, timeout=link.limits.nats_request_s)
    except (errors.Error, OSError) as error:
        raise failure(link, stream, error) from error
    state = decode(answer.data)["state"]
    used.update(state.get("deleted") or ())
    return [sequence for sequence in range(state["first_seq"], last + 1) if sequence not in used]
