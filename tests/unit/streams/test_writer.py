from __future__ import annotations

import pytest

from holdfast.errors import ClosedError, UsageError
from holdfast.streams import EOF, ERROR, GAP, Ack, Data, ReaderCancelled, Writer


def test_writes_until_the_ring_is_full_then_waits_for_room() -> None:
    writer = Writer(1, window=4, ring_bytes=8)
    assert writer.write(b"abcdefghij") == 8
    woken: list[bool] = []
    writer.set_waiter(lambda: woken.append(True))
    with pytest.raises(UsageError, match="one writer"):
        writer.set_waiter(lambda: None)
    assert writer.next_packet(0.0) == Data(1, 0, b"abcd")
    assert writer.next_packet(0.0) is None
    writer.receive_ack(Ack(1, 4, 4), 0.0)
    assert woken == [True]
    assert writer.room == 4
    assert writer.write(b"ij") == 2


def test_opened_by_the_readers_first_acknowledgement() -> None:
    writer = Writer(1, start_offset=100)
    writer.write(b"abc")
    assert writer.next_packet(0.0) is None
    writer.receive_ack(Ack(1, 100, 10), 0.0)
    assert writer.next_packet(0.0) == Data(1, 100, b"abc")


def test_close_and_close_with_error() -> None:
    writer = Writer(1, window=10)
    writer.close()
    writer.close()
    assert writer.next_packet(0.0) == Data(1, 0, kind=EOF)
    writer = Writer(1, window=10)
    with pytest.raises(UsageError, match="text"):
        writer.close_with_error("")
    writer.close_with_error("broken")
    assert writer.next_packet(0.0) == Data(1, 0, b"broken", ERROR)


def test_sees_the_cancel() -> None:
    writer = Writer(1, window=10, ring_bytes=4)
    writer.write(b"abcd")
    woken: list[bool] = []
    writer.set_waiter(lambda: woken.append(True))
    writer.receive_ack(Ack(1, 0, 0, cancel=True, error="bored"), 0.0)
    assert woken == [True]
    assert writer.cancelled
    assert writer.cancel_error == "bored"
    assert writer.events() == [ReaderCancelled("bored")]
    with pytest.raises(ClosedError, match="bored"):
        writer.write(b"x")
    with pytest.raises(ClosedError):
        writer.set_waiter(lambda: None)
    assert writer.next_packet(0.0) is None


def test_a_full_ring_refuses_even_when_disconnected() -> None:
    writer = Writer(1, window=10, ring_bytes=4)
    writer.disconnect()
    assert writer.write(b"abcdef") == 4
    assert writer.connect(2, 10, 0, 0.0) == 0
    assert writer.next_packet(0.0) == Data(2, 0, b"abcd")


def test_skip_leaves_a_gap_once_all_is_acknowledged() -> None:
    writer = Writer(1, window=100)
    writer.write(b"abc")
    assert not writer.skip(10)
    writer.next_packet(0.0)
    writer.receive_ack(Ack(1, 3, 100), 0.0)
    assert writer.skip(10)
    writer.write(b"def")
    assert writer.next_packet(0.0) == Data(1, 3, kind=GAP, skip=10)
    assert writer.next_packet(0.0) == Data(1, 13, b"def")
    writer.receive_ack(Ack(1, 16, 100), 0.0)
    writer.close()
    with pytest.raises(UsageError, match="after the end"):
        writer.skip(1)


def test_clear_waiter() -> None:
    writer = Writer(1, window=10, ring_bytes=4)
    writer.write(b"abcd")
    writer.set_waiter(lambda: pytest.fail("was cleared"))
    writer.clear_waiter()
    writer.next_packet(0.0)
    writer.receive_ack(Ack(1, 4, 10), 0.0)
