from __future__ import annotations

from itertools import pairwise

from holdfast.streams.pace import Pace
from holdfast.streams.packets import BYTES, GAP, Data
from holdfast.streams.recovery import Recovery
from holdfast.streams.ring import RingBuffer


def make(packets: int = 3) -> Recovery:
    pace = Pace(window=100, window_max=100, packet=10, packet_max=10, autotune=False, lossy=True)
    recovery = Recovery(pace)
    for number in range(packets):
        recovery.on_sent(number * 10, number * 10 + 10, 0.0)
    return recovery


def due(recovery: Recovery) -> list[int]:
    found = [lost.offset for lost in recovery.resends]
    recovery.resends.clear()
    return found


def test_only_the_oldest_is_sent_again() -> None:
    recovery = make()
    assert not recovery.on_timer(0.5)
    assert recovery.on_timer(1.0)
    assert due(recovery) == [0]


def test_timeouts_double_until_there_is_progress() -> None:
    recovery = make()
    deadlines = []
    for _ in range(8):
        assert recovery.deadline is not None
        deadlines.append(recovery.deadline)
        recovery.on_timer(recovery.deadline)
    assert [round(after - before) for before, after in pairwise(deadlines)] == [
        2, 4, 8, 16, 30, 30, 30,
    ]  # fmt: skip
    recovery.on_progress(10, 200.0)
    assert recovery.deadline == 201.0


def test_the_timer_rests_when_nothing_is_under_way() -> None:
    recovery = make()
    recovery.on_progress(30, 0.1)
    assert recovery.deadline is None
    assert not recovery.on_timer(99.0)
    recovery.watch(1.0)
    assert recovery.deadline == 2.0
    recovery.watch(1.5)
    assert recovery.deadline == 2.0
    assert recovery.on_timer(2.0)
    assert due(recovery) == []


def test_partial_progress_goes_on_until_what_was_under_way_is_through() -> None:
    recovery = make()
    recovery.on_timer(1.0)
    assert due(recovery) == [0]
    recovery.on_sent(30, 40, 1.0)
    recovery.on_progress(10, 1.1)
    assert due(recovery) == [10]
    recovery.on_progress(30, 1.2)
    assert due(recovery) == []


def test_what_was_acknowledged_in_the_meantime_is_not_sent_again() -> None:
    recovery = make()
    recovery.on_timer(1.0)
    recovery.on_progress(30, 1.0)
    assert due(recovery) == []


def test_hints_before_any_round_trip_was_measured_are_no_hints() -> None:
    recovery = make()
    for _ in range(10):
        recovery.on_repeat(0.9)
    assert due(recovery) == []


def test_a_packet_goes_out_again_in_the_runs_it_has_now() -> None:
    recovery = make()
    recovery.on_timer(1.0)
    ring = RingBuffer(100)
    ring.write_available(b"0123", 1)
    ring.write_available(b"456789", 2)
    ring.consume(2)
    assert recovery.packet_again(7, 0, ring) == Data(7, 0, b"", GAP, 0, 2)
    assert recovery.packet_again(7, 2, ring) == Data(7, 2, b"23", BYTES, 1)
    assert recovery.packet_again(7, 4, ring) == Data(7, 4, b"456789", BYTES, 2)
    assert due(recovery) == []
