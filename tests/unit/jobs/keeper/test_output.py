"""Reading output: when there is room, with patience for a node that keeps up, to an end that comes."""

from __future__ import annotations

import os
import selectors
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.keeper.command import Command
from holdfast.jobs.keeper.output import DRAIN_IDLE_S, DRAIN_S, PATIENCE_S, RETRY_S, Output
from holdfast.jobs.keeper.spill import SpillBuffer
from holdfast.jobs.keeper.watch import Watch
from holdfast.streams.packets import Ack
from holdfast.streams.sender import OutputSender

RING = 1 << 12


class Bench:
    """An output over two pipes, with a clock that stands still."""

    def __init__(
        self, directory: Path, spill_bytes_max: int = 1 << 20, *, drop_oldest: bool = False, terminal: int = -1
    ) -> None:
        out_read, self.out = os.pipe()
        err_read, self.err = os.pipe()
        for fd in (out_read, err_read):
            os.set_blocking(fd, False)
        self.selector = selectors.DefaultSelector()
        self.buffer = SpillBuffer(
            str(directory),
            ring_bytes=RING,
            spill_bytes_max=spill_bytes_max,
            segment_bytes=RING,
            drop_oldest=drop_oldest,
        )
        self.sender = OutputSender(self.buffer, window_bytes=1 << 20)
        self.command = Command(0, tty=False, input_fd=-1, outputs={out_read: 0, err_read: 1})
        if terminal >= 0:
            for fd in (out_read, err_read):
                os.close(fd)
            self.command = Command(0, tty=True, input_fd=terminal, outputs={terminal: 0})
        self.output = Output(self.command, self.sender, self.buffer, Watch(self.selector))

    def turn(self, now: float = 0.0) -> int:
        for key, mask in self.selector.select(0):
            key.data(mask)
        return self.output.turn(now)

    def acknowledge_all(self, now: float) -> None:
        while self.sender.next_packet(now) is not None:
            pass
        self.sender.receive_ack(Ack(1, self.sender.sent, 1 << 20), now)

    def close(self) -> None:
        self.output.stop()
        self.buffer.close()
        self.selector.close()
        for fd in (self.out, self.err):
            os.close(fd)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_both_pipes_are_read_with_their_tags(bench: Bench) -> None:
    os.write(bench.out, b"out")
    assert bench.turn() == 3
    os.write(bench.err, b"err")
    assert bench.turn() == 3
    assert [(bytes(data), tag) for data, tag in (bench.buffer.peek(0, 9), bench.buffer.peek(3, 9))] == [
        (b"out", 0),
        (b"err", 1),
    ]


def test_a_full_buffer_stops_reading_and_loses_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spill_bytes_max=0)
    data = os.urandom(RING + 100)
    os.write(bench.out, data)
    bench.turn()
    assert bench.output.paused
    assert bench.buffer.total == RING
    os.write(bench.err, b"more")
    assert bench.turn() == 0
    bench.buffer.consume(200)
    bench.output.resume(1.0)
    assert not bench.output.paused
    assert bench.turn(1.0) == 4
    assert (
        bytes(bench.buffer.peek(200, 1 << 20)[0]) + bytes(bench.buffer.peek(RING + 100, 4)[0]) == data[200:] + b"more"
    )
    bench.close()


def test_a_node_that_keeps_up_is_waited_for_and_one_that_does_not_is_spilled_behind(bench: Bench) -> None:
    bench.sender.connect(1, 1 << 20, 0, 0.0)
    os.write(bench.out, bytes(RING))
    assert bench.turn(0.0) == RING
    os.write(bench.out, bytes(RING))
    assert bench.turn(1.0) == 0
    assert bench.output.paused
    assert bench.output.next_deadline() == pytest.approx(1.0 + PATIENCE_S)
    bench.acknowledge_all(1.1)
    bench.output.resume(1.1)
    assert bench.turn(1.1) == RING
    os.write(bench.out, bytes(RING))
    assert bench.turn(1.2) == 0
    bench.output.handle_timer(1.2 + PATIENCE_S)
    assert bench.turn(1.2 + PATIENCE_S) == RING
    assert bench.buffer.spilled_bytes > 0


@pytest.mark.parametrize("corked", [True, False])
def test_without_a_reading_node_it_spills_at_once(bench: Bench, *, corked: bool) -> None:
    if corked:
        bench.sender.connect(1, 0, 0, 0.0)
    for _ in range(3):
        os.write(bench.out, bytes(RING))
        assert bench.turn() == RING
    assert bench.buffer.spilled_bytes >= RING


def test_a_command_that_must_not_wait_is_not_made_to(tmp_path: Path) -> None:
    bench = Bench(tmp_path, drop_oldest=True)
    bench.sender.connect(1, 1 << 20, 0, 0.0)
    for _ in range(3):
        os.write(bench.out, bytes(RING))
        assert bench.turn() == RING
    bench.close()


def test_the_end_of_all_pipes_is_the_end(bench: Bench) -> None:
    os.write(bench.out, b"last")
    null = os.open("/dev/null", os.O_RDONLY)
    for fd in (bench.out, bench.err):
        os.dup2(null, fd)
    os.close(null)
    assert bench.turn() == 4
    assert bench.output.ended


def test_after_the_command_silence_or_time_is_the_end(bench: Bench) -> None:
    bench.output.drain(10.0)
    os.write(bench.out, b"late")
    assert bench.turn(10.4) == 4
    assert bench.output.next_deadline() == pytest.approx(10.4 + DRAIN_IDLE_S)
    bench.output.handle_timer(10.4)
    assert not bench.output.ended
    moment = 10.4
    while moment < 10.0 + DRAIN_S:
        os.write(bench.out, b"x")
        bench.turn(moment)
        moment += DRAIN_IDLE_S / 2
    assert not bench.output.ended
    bench.output.handle_timer(10.0 + DRAIN_S)
    assert bench.output.ended


def test_time_without_room_does_not_count_against_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spill_bytes_max=0)
    os.write(bench.out, bytes(RING + 5))
    bench.turn(0.0)
    bench.output.drain(0.0)
    assert bench.output.next_deadline() == pytest.approx(RETRY_S)
    bench.output.handle_timer(1000.0)
    assert not bench.output.ended
    bench.buffer.consume(RING)
    bench.output.resume(1000.0)
    os.write(bench.out, b"tail")
    assert bench.turn(1000.1) == 4
    assert bench.output.next_deadline() == pytest.approx(1000.1 + DRAIN_IDLE_S)
    bench.close()


def test_a_terminal_nobody_has_open_is_kept_for_who_comes_back(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    name = os.ttyname(terminal)
    tty.setraw(terminal)
    os.set_blocking(controller, False)
    bench = Bench(tmp_path, terminal=controller)
    os.write(terminal, b"first;")
    os.close(terminal)
    while not bench.command.hung_up:
        bench.turn(1.0)
    assert not (bench.output.held or bench.output.ended)
    assert bench.output.next_deadline() == 1.0 + RETRY_S
    assert not bench.selector.get_map()  # it would say "ready" without end

    again = os.open(name, os.O_RDWR | os.O_NOCTTY)
    os.write(again, b"second;")
    bench.output.handle_timer(1.0 + RETRY_S)
    assert bench.turn(2.0) == 7
    assert bench.output.held
    os.close(again)
    while not bench.command.hung_up:
        bench.turn(3.0)
    bench.output.drain(4.0)
    bench.turn(4.0)
    assert bench.output.ended
    assert bytes(bench.buffer.peek(0, 99)[0]) == b"first;second;"
    bench.close()
