from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from holdfast.errors import UsageError
from holdfast.streams import RingBuffer


class RingModel(RuleBasedStateMachine):
    """The ring beside a plain list of (byte, tag) that remembers everything."""

    @initialize(capacity=st.integers(1, 70), overwrite=st.booleans(), start=st.sampled_from([0, 5]))
    def begin(self, capacity: int, overwrite: bool, start: int) -> None:
        self.ring = RingBuffer(capacity, overwrite=overwrite, start_offset=start)
        self.overwrite = overwrite
        self.window = capacity
        self.all: list[tuple[int, int]] = [(0, 0)] * start
        self.head = start
        self.woken = 0
        self.waiting = False

    def full(self) -> bool:
        return not self.overwrite and len(self.all) - self.head >= self.window

    def drop(self) -> None:
        if self.overwrite:
            self.head = max(self.head, len(self.all) - self.window)

    @rule(data=st.binary(max_size=90), tag=st.integers(0, 2), shape=st.sampled_from([bytes, bytearray, memoryview]))
    def write(self, data: bytes, tag: int, shape: type) -> None:
        room = max(0, self.window - (len(self.all) - self.head))
        expected = len(data) if self.overwrite else min(room, len(data))
        assert self.ring.write_available(shape(data), tag) == expected
        self.all.extend((byte, tag) for byte in data[:expected])
        self.drop()

    @rule(back=st.integers(0, 100))
    def consume(self, back: int) -> None:
        offset = max(0, len(self.all) - back)
        self.ring.consume(offset)
        self.head = max(self.head, offset)

    @rule(at=st.floats(0, 1), size=st.integers(0, 100))
    def peek(self, at: float, size: int) -> None:
        offset = self.head + int(at * (len(self.all) - self.head))
        data, tag = self.ring.peek(offset, size)
        kept = self.all[offset : offset + size]
        assert [(byte, tag) for byte in bytes(data)] == kept[: len(data)]
        if kept:
            run = next((n for n, (_, other) in enumerate(kept) if other != kept[0][1]), len(kept))
            assert len(data) == run

    @rule(share=st.floats(0, 1))
    def resize(self, share: float) -> None:
        self.window = max(1, int(share * self.ring.capacity))
        self.ring.set_window(self.window)
        self.drop()

    @rule(overwrite=st.booleans())
    def change_mode(self, overwrite: bool) -> None:
        self.overwrite = overwrite
        self.ring.set_overwrite(overwrite)
        self.drop()

    @rule()
    def wait(self) -> None:
        if self.waiting:
            with pytest.raises(UsageError):
                self.ring.set_waiter(self.wake)
        else:
            self.waiting = True
            self.ring.set_waiter(self.wake)

    def wake(self) -> None:
        assert self.waiting
        self.waiting = False

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ring"):
            return
        assert self.ring.head == self.head
        assert self.ring.total == len(self.all)
        assert self.ring.size == len(self.all) - self.head
        assert self.ring.window == self.window
        assert not self.waiting or self.full()


RingModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRingModel = RingModel.TestCase


def test_storage_grows_only_as_it_is_used() -> None:
    ring = RingBuffer(1 << 30)
    ring.write_available(bytes(100_000))
    assert ring._storage_bytes < 300_000


def test_dropped_counts_what_nobody_consumed() -> None:
    ring = RingBuffer(4, overwrite=True)
    ring.write_available(b"abcd")
    ring.consume(1)
    ring.write_available(b"efghijk")
    assert (ring.head, ring.total, ring.dropped) == (7, 11, 6)
    assert bytes(ring.peek(7, 9)[0]) == b"hijk"


def test_tag_runs_are_forgotten_with_their_bytes() -> None:
    ring = RingBuffer(100)
    for number in range(10_000):
        ring.write_available(b"x", number % 2)
        ring.consume(number)
    assert len(ring._run_starts) < 200
    assert ring.peek(9_999, 1)[1] == 1


def test_skip_leaves_a_gap_in_an_empty_ring_only() -> None:
    ring = RingBuffer(10)
    ring.write_available(b"abc")
    with pytest.raises(UsageError, match="3 bytes are still kept"):
        ring.skip(5)
    ring.consume(3)
    with pytest.raises(UsageError, match="negative"):
        ring.skip(-1)
    ring.skip(5)
    ring.write_available(b"def", 2)
    assert (ring.head, ring.total) == (8, 11)
    data, tag = ring.peek(8, 3)
    assert (bytes(data), tag) == (b"def", 2)


def test_clear_waiter() -> None:
    ring = RingBuffer(1)
    ring.write_available(b"x")
    ring.set_waiter(lambda: pytest.fail("was cleared"))
    ring.clear_waiter()
    ring.consume(1)


@pytest.mark.parametrize("capacity", [0, -1])
def test_no_capacity(capacity: int) -> None:
    with pytest.raises(UsageError, match="capacity"):
        RingBuffer(capacity)


def test_what_is_not_kept_cannot_be_asked_for() -> None:
    ring = RingBuffer(4)
    ring.write_available(b"abcd")
    ring.consume(2)
    for offset in (1, 5):
        with pytest.raises(UsageError, match="offset"):
            ring.peek(offset, 1)
    with pytest.raises(UsageError, match="beyond the end"):
        ring.consume(5)
    for window in (0, 5):
        with pytest.raises(UsageError, match="window"):
            ring.set_window(window)
