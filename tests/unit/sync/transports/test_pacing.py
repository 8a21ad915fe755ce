from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.sync.transports.pacing import Pacer


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    pacer = Pacer(1000.0, 300, 10_000)
    assert pacer.put([bytes(100)] * 5)
    assert len(pacer.take(0.0)) == 3
    assert pacer.next_deadline(0.0) == 0.1
    assert pacer.take(0.05) == []
    assert len(pacer.take(0.1)) == 1
    assert len(pacer.take(5.0)) == 1
    assert pacer.next_deadline(5.0) is None


def test_a_datagram_larger_than_the_burst_goes_when_the_bucket_is_full() -> None:
    pacer = Pacer(1000.0, 100, 10_000)
    pacer.put([bytes(250), bytes(10)])
    assert len(pacer.take(0.0)) == 1
    assert pacer.next_deadline(0.0) == 0.16
    assert len(pacer.take(0.17)) == 1


def test_a_datagram_for_many_counts_for_each_of_them() -> None:
    pacer = Pacer(1000.0, 300, 10_000)
    pacer.copies = 3
    pacer.put([bytes(100)] * 3)
    assert len(pacer.take(0.0)) == 1
    assert round(pacer.next_deadline(0.0) or 0, 6) == 0.3
    assert len(pacer.take(0.31)) == 1
    pacer.copies = 5  # more than the burst has
    assert pacer.take(0.4) == []
    assert len(pacer.take(0.61)) == 1


def test_a_message_is_taken_whole_or_not_at_all() -> None:
    pacer = Pacer(1000.0, 100, 500)
    assert pacer.put([bytes(100)] * 4)
    assert not pacer.put([bytes(100)] * 2)
    assert len(pacer) == 4
    assert pacer.put([bytes(100)])
    pacer.clear()
    assert pacer.queued_bytes == 0
    assert pacer.next_deadline(0.0) is None


def test_one_message_larger_than_the_queue_goes_if_nothing_waits() -> None:
    pacer = Pacer(1000.0, 100, 500)
    assert pacer.put([bytes(100)] * 9)
    assert not pacer.put([b"x"])


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(0, 0.5)), max_size=50))
def test_no_more_leaves_than_burst_and_rate_allow(steps: list[tuple[int, float]]) -> None:
    pacer, now, left_bytes = Pacer(1000.0, 300, 100_000), 0.0, 0
    for size, pause_s in steps:
        pacer.put([bytes(size)])
        now += pause_s
        left_bytes += sum(map(len, pacer.take(now)))
        assert left_bytes <= 300 + 1000 * now + 0.001
    while (deadline := pacer.next_deadline(now)) is not None:
        assert deadline >= now
        now = deadline + 1e-9
        left_bytes += sum(map(len, pacer.take(now)))
    assert left_bytes == sum(size for size, _ in steps)
