"""A file that grows, is moved away, is cut short: no line lost or repeated, and what may be missing is said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from errno import ELOOP
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.clock import RealClock
from holdfast.errors import Unavailable, UsageError
from holdfast.limits import LIMITS
from holdfast.sessions.model import Message, SubjectInfo
from holdfast.sessions.providers.base import Context
from holdfast.sessions.providers.file import FileProvider, Place, Tail

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Notes:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.gaps: list[str] = []
        self.heard = True

    def messages(self, batch: Sequence[Message]) -> None:
        self.lines += [message.payload for message in batch]

    def gap(self, subject: str, reason: str) -> None:
        self.gaps.append(reason)

    def packed(self, batch: Sequence[tuple[str, bytes]]) -> None: ...
    def found(self, subject: SubjectInfo) -> None: ...
    def moved(self, subject: str, tail: int) -> None: ...
    def ended(self, subject: str) -> None: ...
    def gone(self, subject: str, reason: str) -> None: ...
    def failed(self, reason: str) -> None: ...


def drained(tail: Tail) -> list[bytes]:
    lines: list[bytes] = []
    for _ in range(8):
        lines += tail.read()
    return lines


def test_lines_are_given_once_they_are_complete(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    tail = Tail(str(path), 100, None, from_start=False)
    assert drained(tail) == []
    with path.open("ab") as file:
        file.write(b"one\ntw")
        file.flush()
        assert drained(tail) == [b"one"]
        file.write(b"o\n\nlast")
    assert drained(tail) == [b"two", b""]
    place = tail.place
    assert place.offset == len(b"old\none\ntwo\n\n")
    tail.close()
    with path.open("ab") as file:
        file.write(b" line\n")
    tail = Tail(str(path), 100, place, from_start=False)
    assert drained(tail) == [b"last line"]
    assert not tail.gap
    tail.close()


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    tail = Tail(str(tmp_path / "log"), 100, None, from_start=False)
    assert drained(tail) == []
    (tmp_path / "log").write_bytes(b"the first\n")
    assert drained(tail) == [b"the first"]
    tail.close()


def test_one_that_cannot_be_read_says_so_once_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path, aside = tmp_path / "log", tmp_path / "aside"
    path.write_bytes(b"one\ntw")
    tail = Tail(str(path), 100, None, from_start=True)
    for turn in range(2):
        assert drained(tail) == ([b"one"] if turn == 0 else [b"two"])
        path.rename(aside)
        path.symlink_to(path)  # to itself: also root cannot open it
        assert drained(tail) == []
        assert tail.gap == f"the file could not be read: {os.strerror(ELOOP)}"
        tail.gap = ""
        assert drained(tail) == []
        assert tail.gap == ""
        path.unlink()
        aside.rename(path)
        with path.open("ab") as file:
            file.write(b"o\n" if turn == 0 else b"three\n")
    assert drained(tail) == [b"three"]
    assert tail.gap == ""
    tail.close()


def test_long_lines_come_in_parts(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 25 + b"\nshort\n")
    tail = Tail(str(tmp_path / "log"), 10, None, from_start=True)
    assert drained(tail) == [b"x" * 10, b"x" * 10, b"x" * 5, b"short"]
    tail.close()


def test_one_that_was_cut_short_or_replaced_unseen_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    tail = Tail(str(path), 100, None, from_start=True)
    assert drained(tail) == [b"one", b"two"]
    os.truncate(path, 0)
    tail.read()
    assert tail.gap == "the file was cut short"
    path.write_bytes(b"3\n")
    assert drained(tail) == [b"3"]
    tail.close()
    tail = Tail(str(path), 100, Place(12345, 4), from_start=False)
    assert drained(tail) == [b"3"]
    assert "replaced" in tail.gap
    tail.close()


steps = st.lists(st.sampled_from(["line", "part", "rotate", "read", "rest"]), max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_through_any_rotation_no_line_is_lost_or_repeated(tmp_path: Path, steps: list[str]) -> None:
    path = tmp_path / "log"
    for old in tmp_path.iterdir():
        old.unlink()
    tail = Tail(str(path), 1_000, None, from_start=True)
    written, read = b"", []
    file = path.open("wb", buffering=0)
    for number, step in enumerate(steps):
        if step in ("line", "part"):
            data = b"%d" % number + (b"\n" if step == "line" else b",")
            file.write(data)
            written += data
        elif step == "read":
            read += tail.read()
        elif step == "rest":
            read += drained(tail)
        else:  # as logrotate does it: moved away, then its writer opens a new one; the reader is never two behind
            read += drained(tail)
            path.rename(tmp_path / f"log.{number}")
            file.write(b"late\n")
            written += b"late\n"
            file.close()
            file = path.open("wb", buffering=0)
    file.write(b"end\n")
    written += b"end\n"
    file.close()
    read += drained(tail) + drained(tail)
    tail.close()
    assert read == written.split(b"\n")[:-1]
    assert not tail.gap


def test_the_provider_goes_on_where_it_was_after_a_restart(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    context = Context(RealClock(), LIMITS, str(tmp_path / "state"))
    options = {"path": str(path), "poll_ms": "1"}

    async def life(*lines: bytes) -> Notes:
        provider = FileProvider("app", options, context)
        await provider.start()
        notes = Notes()
        stream = await provider.open("app.>", notes)
        assert [info.subject for info in await provider.subjects("app.*")] == ["app.lines"]
        with path.open("ab") as file:
            for line in lines:
                file.write(line + b"\n")
        while not lines or notes.lines[-1:] != [lines[-1]]:
            await asyncio.sleep(0.001)
        await stream.close()
        await provider.stop()
        return notes

    async def main() -> None:
        assert (await life(b"one", b"two")).lines == [b"one", b"two"]
        with path.open("ab") as file:
            file.write(b"while it was away\n")
        notes = await life(b"three")
        assert (notes.lines, notes.gaps) == ([b"while it was away", b"three"], [])

    run(main())


def test_what_is_wrong_is_named(tmp_path: Path, run: Run) -> None:
    context = Context(RealClock(), LIMITS)
    for options, field in (
        ({}, "options.path"),
        ({"path": "relative"}, "options.path"),
        ({"path": "/nul\0"}, "options.path"),
        ({"path": "/x", "form": "end"}, "options.form"),
        ({"path": "/x", "from": "middle"}, "options.from"),
        ({"path": "/x", "poll_ms": "0"}, "options.poll_ms"),
    ):
        with pytest.raises(UsageError) as caught:
            FileProvider("f", options, context)
        assert caught.value.field == field

    async def main() -> None:
        with pytest.raises(Unavailable, match="directory"):
            await FileProvider("f", {"path": str(tmp_path)}, context).start()

    run(main())
