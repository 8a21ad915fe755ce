"""``file``: a growing text file, followed through rotation; each line is a message of ``<name>.lines``.

A feed: it begins with the next line after the provider was added (``from=end``), or with the first
(``from=start``), and goes on where it was when the node comes back, as long as the file is the same.  A file that was
moved away and made anew is read to its end first; one that was cut short is read from its beginning, and a gap says so.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ...errors import Unavailable, UsageError
from ...subjects import PatternTrie, matches
from ..model import Message, SubjectInfo
from .base import BaseProvider, Context, OpenStream, Sink, Stream, take_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OPTIONS = {"path": "!", "from": "end", "poll_ms": "100"}
_READ_BYTES = 1 << 18
_GRACE_S = 30.0
"""How long, after the start, lines wait for the first session: those of before a restart are still coming back."""
_QUIET_TURNS = 2
"""Looks at a file that was moved away without finding more in it before it counts as finished."""


class Place(NamedTuple):
    """How far the file was read."""

    inode: int
    offset: int
    """The first byte of the next line."""


class Tail:
    """The lines of a file and of those that take its place.  Blocks only for reads of a local file."""

    def __init__(self, path: str, line_bytes_max: int, place: Place | None, *, from_start: bool) -> None:
        self._path = path
        self._line_bytes_max = line_bytes_max
        self._file: int | None = None
        self._rest = b""
        self._from_start = from_start
        self._place = place
        self._offset = 0
        self._inode = 0
        self._quiet = 0
        self._failing = False
        self.gap = ""
        """Why lines may be missing before the next ones; to be taken and cleared."""

    @property
    def place(self) -> Place:
        """How far complete lines were read."""
        return Place(self._inode, self._offset - len(self._rest))

    def open(self) -> bool:
        """Open the file if it is there and was not; whether it is open."""
        if self._file is not None:
            return True
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            self._from_start = True  # one that appears is new from its first line on
            return False
        stat = os.fstat(self._file)
        self._inode, self._rest, self._quiet = stat.st_ino, b"", 0
        place, self._place = self._place, None
        if place is not None and place.inode == stat.st_ino and place.offset <= stat.st_size:
            self._offset = place.offset
        else:
            if place is not None:
                self.gap = "the file was replaced while nobody was looking"
            self._offset = 0 if self._from_start or place is not None else stat.st_size
        self._from_start = True
        return True

    def read(self) -> list[bytes]:
        """The lines that are complete now, without their ends; [] for none.

        A file that cannot be read is a gap, told once; the next call tries again from where it was.
        """
        try:
            lines = self._read()
        except OSError as error:
            if not self._failing:
                self.gap = f"the file could not be read: {error.strerror}"
            self._failing = True
            if self._file is not None:
                self._place = self.place
                self.close()
            return []
        self._failing = False
        return lines

    def _read(self) -> list[bytes]:
        if not self.open():
            return []
        assert self._file is not None
        data = os.pread(self._file, _READ_BYTES, self._offset)
        if not data:
            return self._look_round()
        self._quiet = 0
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._line_bytes_max:
            lines.append(self._rest)
            self._rest = b""
        return [part for line in lines for part in self._parts(line)]

    def _parts(self, line: bytes) -> list[bytes]:
        size = self._line_bytes_max
        return [line[start : start + size] for start in range(0, len(line), size)] or [b""]

    def _look_round(self) -> list[bytes]:
        """Nothing more in the file: find out if it was cut short, or if another one is in its place.

        What is left of one that is finished and does not end with a line's end.
        """
        assert self._file is not None
        if os.fstat(self._file).st_size < self._offset:
            self.gap = "the file was cut short"
            self._offset, self._rest = 0, b""
            return []
        try:
            moved = os.stat(self._path).st_ino != self._inode
        except FileNotFoundError:
            moved = True
        self._quiet = self._quiet + 1 if moved else 0
        if self._quiet <= _QUIET_TURNS:
            return []
        self.close()  # its writer has had the time to turn to the new one
        last, self._rest = self._rest, b""
        return [last] if last else []

    def close(self) -> None:
        """Let go of the file; the next :meth:`read` opens what is there then."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class FileProvider(BaseProvider):
    """Implements :class:`~.base.Provider`."""

    def __init__(self, name: str, options: Mapping[str, str], context: Context) -> None:
        taken = take_options(options, _OPTIONS, "file")
        self._path = taken["path"]
        if not os.path.isabs(self._path) or "\0" in self._path:
            raise UsageError(f"options.path: {self._path!r} is not an absolute path", field="options.path")
        if taken["from"] not in ("start", "end"):
            raise UsageError(f"options.from: {taken['from']!r} is neither start nor end", field="options.from")
        if not taken["poll_ms"].isdecimal() or not 1 <= int(taken["poll_ms"]) <= 60_000:
            raise UsageError(
                f"options.poll_ms: {taken['poll_ms']!r} is not between 1 and 60000", field="options.poll_ms"
            )
        self._poll_s = int(taken["poll_ms"]) / 1000
        self._from_start = taken["from"] == "start"
        self._subject = f"{name}.lines"
        self._clock = context.clock
        self._line_bytes_max = context.limits.session_message_bytes_max
        self._note = os.path.join(context.state_dir, f"{name}.json") if context.state_dir else ""
        self._noted: Place | None = None
        self._sinks: PatternTrie[Sink] = PatternTrie()
        self._tail: Tail | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    async def start(self) -> None:
        """Find the place.  Unavailable if the file is there and cannot be read, or is no file."""
        if os.path.isdir(self._path):  # noqa: ASYNC240 - one look at a local file
            raise Unavailable(f"{self._path} is a directory", self._path)
        tail = Tail(self._path, self._line_bytes_max, self._load_place(), from_start=self._from_start)
        try:
            tail.open()
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}", self._path) from error
        self._tail = tail
        self._save_place(tail.place)
        self._task = asyncio.create_task(self._run(tail), name=f"file-{self._path}")

    async def stop(self) -> None:
        """Note the place, and let go of the file."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._tail is not None:
            self._save_place(self._tail.place)
            self._tail.close()

    async def forget(self) -> None:
        """A provider that is added anew does not go on where one of before was."""
        if self._note:
            with suppress(FileNotFoundError):
                os.unlink(self._note)

    async def _run(self, tail: Tail) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self._wanted.wait()
                while not any(sink.heard for sink in self._sinks.match(self._subject)):  # noqa: ASYNC110 - nobody says
                    await asyncio.sleep(self._poll_s)
        while True:
            lines = tail.read()
            if tail.gap:
                for sink in self._sinks.match(self._subject):
                    sink.gap(self._subject, tail.gap)
                tail.gap = ""
            if lines:
                self._give(lines)
                await asyncio.sleep(0)
            else:
                self._save_place(tail.place)
                await asyncio.sleep(self._poll_s)

    def _give(self, lines: list[bytes]) -> None:
        now = self._clock.wall()
        batch = [Message(self._subject, line, time=now) for line in lines]
        for sink in self._sinks.match(self._subject):
            sink.messages(batch)

    def _load_place(self) -> Place | None:
        try:
            with open(self._note, "rb") as file:
                noted = json.load(file)
            return Place(int(noted["inode"]), int(noted["offset"])) if noted["path"] == self._path else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _save_place(self, place: Place) -> None:
        if not self._note or place == self._noted:
            return
        self._noted = place
        with suppress(OSError):  # then it begins as if it were new
            os.makedirs(os.path.dirname(self._note), mode=0o700, exist_ok=True)
            with open(f"{self._note}.new", "w", encoding="utf-8") as file:
                json.dump({"path": self._path, **place._asdict()}, file)
            os.replace(f"{self._note}.new", self._note)

    async def subjects(self, pattern: str) -> Sequence[SubjectInfo]:
        """The one there is."""
        return [SubjectInfo(subject=self._subject)] if matches(pattern, self._subject) else []

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """See :meth:`Provider.open`."""
        self._sinks.add(pattern, sink)
        self._wanted.set()

        async def close() -> None:
            self._sinks.remove(pattern, sink)

        return OpenStream(close)
