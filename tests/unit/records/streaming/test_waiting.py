from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.records.streaming.waiting import Waiting


def test_those_to_be_sent_again_go_first_and_in_order() -> None:
    waiting = Waiting()
    waiting.queue.extend([7, 8])
    waiting.again([5, 2, 3])
    assert list(waiting.queue) == [2, 3, 5, 7, 8]
    assert waiting.take_all() == [2, 3, 5, 7, 8]
    assert not waiting.queue


@given(moments=st.lists(st.integers(0, 20), max_size=10), now=st.integers(0, 20))
def test_moments_come_when_they_come(moments: list[int], now: int) -> None:
    waiting = Waiting()
    for index, moment in enumerate(moments):
        waiting.later(index, moment)
    assert waiting.next_moment == min(moments, default=None)
    waiting.wake(now)
    assert list(waiting.queue) == [index for index, moment in enumerate(moments) if moment <= now]
    assert waiting.next_moment == min((moment for moment in moments if moment > now), default=None)
    waiting.clear()
    assert waiting.next_moment is None and not waiting.queue
