"""Input carried out on a pipe or terminal, never waiting for it."""

from __future__ import annotations

import os
import selectors
import termios
import tty
from collections.abc import Iterator

import pytest

from holdfast.errors import Conflict, HoldfastError
from holdfast.jobs.keeper.command import Command
from holdfast.jobs.keeper.input import Bytes, Input
from holdfast.jobs.keeper.input_queue import InputQueue, Item
from holdfast.jobs.keeper.watch import Watch


class Bench:
    """An input over a pipe or a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        ours, self.theirs = os.openpty() if terminal else os.pipe()[::-1]
        os.set_blocking(ours, False)
        self.selector = selectors.DefaultSelector()
        self.command = Command(0, tty=terminal, input_fd=ours, outputs={ours: 0} if terminal else {})
        self.done: list[tuple[int, HoldfastError | None]] = []
        self.input = Input(self.command, InputQueue(100, 1 << 24, 0.1), Watch(self.selector), self._on_done)

    def _on_done(self, item: Item, error: HoldfastError | None) -> None:
        self.done.append((item.number, error))

    def put(self, data: bytes, *, eof: bool = False) -> int:
        number = self.input.put(Bytes(data, eof), 0.0, "", 0)
        self.input.pump()
        return number

    def turn(self) -> None:
        for key, mask in self.selector.select(0):
            key.data(mask)

    def close(self) -> None:
        self.command.close_input()
        self.selector.close()
        os.close(self.theirs)


@pytest.fixture
def pipe() -> Iterator[Bench]:
    bench = Bench(terminal=False)
    yield bench
    bench.close()


@pytest.fixture
def terminal() -> Iterator[Bench]:
    bench = Bench(terminal=True)
    yield bench
    bench.close()


def test_what_fits_is_written_at_once(pipe: Bench) -> None:
    number = pipe.put(b"hello")
    assert pipe.done == [(number, None)]
    assert os.read(pipe.theirs, 100) == b"hello"


def test_what_does_not_fit_goes_on_as_it_is_read_and_stays_whole(pipe: Bench) -> None:
    first, second = os.urandom(300_000), os.urandom(100_000)
    pipe.put(first)
    pipe.put(second, eof=True)
    assert pipe.done == []
    got = b""
    while part := os.read(pipe.theirs, 50_000):
        got += part
        pipe.turn()
    assert got == first + second
    assert pipe.done == [(1, None), (2, None)]
    assert pipe.input.closed


def test_after_the_end_input_is_refused(pipe: Bench) -> None:
    pipe.put(b"", eof=True)
    assert os.read(pipe.theirs, 10) == b""
    with pytest.raises(Conflict):
        pipe.put(b"late")


def test_a_reader_that_leaves_ends_what_waits(pipe: Bench) -> None:
    pipe.put(bytes(1 << 20))
    pipe.put(b"next")
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, pipe.theirs)
    os.close(null)
    pipe.turn()
    assert [number for number, error in pipe.done if isinstance(error, Conflict)] == [1, 2]
    assert pipe.input.closed
    pipe.input.close()


@pytest.mark.parametrize(
    ("typed", "reads"),
    [(b"", [b""]), (b"a\n", [b"a\n", b""]), (b"a", [b"a", b""]), (b"a\nb", [b"a\n", b"b", b""])],
)
def test_end_of_file_at_a_terminal_is_what_a_user_would_type(terminal: Bench, typed: bytes, reads: list[bytes]) -> None:
    if typed:
        terminal.put(typed)
    terminal.put(b"", eof=True)
    assert [os.read(terminal.theirs, 100) for _ in reads] == reads
    assert not terminal.input.closed
    terminal.put(b"more\n")
    assert os.read(terminal.theirs, 100) == b"more\n"


def test_a_program_that_reads_keys_gets_one_key(terminal: Bench) -> None:
    tty.setraw(terminal.theirs)
    terminal.put(b"abc", eof=True)
    terminal.put(b"d")
    got = b""
    while not got.endswith(b"d"):
        got += os.read(terminal.theirs, 100)
    assert got == b"abc\x04d"


def test_the_key_is_the_terminals_own(terminal: Bench) -> None:
    modes = termios.tcgetattr(terminal.theirs)
    modes[6][termios.VEOF] = b"\x02"
    termios.tcsetattr(terminal.theirs, termios.TCSANOW, modes)
    terminal.put(b"", eof=True)
    assert os.read(terminal.theirs, 100) == b""
