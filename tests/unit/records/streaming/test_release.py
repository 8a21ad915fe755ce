from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.records.streaming.release import Release


@given(st.permutations(range(12)), st.booleans(), st.lists(st.booleans(), min_size=12, max_size=12))
def test_results_come_in_order_or_as_they_are_there(order: list[int], ordered: bool, takes: list[bool]) -> None:
    release: Release[int] = Release(ordered=ordered, bytes_max=1_000)
    given_: list[int] = []
    for index, take in zip(order, takes, strict=True):
        assert release.offer(index, index, 10)
        if take:
            given_ += release.take()
    given_ += release.take()
    assert given_ == (sorted(order) if ordered else order)
    assert not release.ready
    release.take()
    assert (release.consumed, release.bytes, release.ready_bytes) == (12, 0, 0)


@given(st.permutations(range(8)), st.integers(0, 50))
def test_what_comes_too_early_for_the_room_is_asked_for_again(order: list[int], bytes_max: int) -> None:
    release: Release[int] = Release(ordered=True, bytes_max=bytes_max)
    todo, found = list(order), []
    while todo:
        index = todo.pop(0)
        if not release.offer(index, index, 10):
            release.postpone(index)
        todo += release.asked_again()
        assert release.bytes - release.ready_bytes <= bytes_max
        found += release.take()
    assert found == list(range(8))


def test_bytes_count_until_the_consumer_comes_back() -> None:
    release: Release[str] = Release(ordered=True, bytes_max=100)
    release.offer(0, "a", 60)
    assert release.take() == ["a"]
    release.offer(1, "b", 50)
    assert (release.bytes, release.ready_bytes, release.consumed) == (110, 110, 0)
    assert release.take() == ["b"]
    assert (release.bytes, release.consumed) == (50, 1)


def test_flushed_results_keep_their_order() -> None:
    release: Release[int] = Release(ordered=True, bytes_max=100)
    for index in (5, 2, 0, 4):
        release.offer(index, index, 1)
    release.flush()
    assert release.take() == [0, 2, 4, 5]
