from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.nats.logs import books
from holdfast.engine.nats.logs.books import Places, Shelf, new_book, pin, unpin
from holdfast.engine.state import Share


@given(st.lists(st.integers(1, 9), max_size=60), st.randoms(use_true_random=False), st.integers(2, 40))
def test_places_lead_to_the_message_or_before_it(lengths: list[int], random: object, most: int) -> None:
    """Whatever is noted, in whatever order, and however much of it is forgotten."""
    places, position, begins = Places(), 0, []
    for number, length in enumerate(lengths):
        begins.append((position, 10 + 3 * number))
        position += length
    noted = begins.copy()
    random.shuffle(noted)  # type: ignore[attr-defined]
    books._PLACES_MAX, before = most, books._PLACES_MAX
    try:
        for start, sequence in noted[: len(noted) // 2 + 1]:
            places.add(start, sequence)
    finally:
        books._PLACES_MAX = before
    for wanted in range(position):
        holds = max(sequence for start, sequence in begins if start <= wanted)
        low, high = places.around(wanted)
        assert low <= holds and (high is None or holds < high)


def test_forks_keep_what_they_share() -> None:
    shelves = {log_id: Shelf(log_id, str(log_id), "bytes", new_book("bytes", b"")) for log_id in (1, 2, 3)}
    shelves[1].stored = shelves[1].stored._replace(oldest=500, end=900)
    assert shelves[1].keep_from() == 500
    shares = (Share(1, 10, 20), Share(2, 20, 40), Share(1, 40, 50))
    pin(shelves, 3, shares)
    assert (shelves[1].pins, shelves[2].pins) == ({3: 10}, {3: 20})
    assert shelves[1].keep_from() == 10
    touched = unpin(shelves, 3, shares, (Share(1, 45, 50),))
    assert {shelf.id for shelf in touched} == {1, 2}
    assert (shelves[1].pins, shelves[2].pins, shelves[1].keep_from()) == ({3: 45}, {}, 45)
    unpin(shelves, 3, shares)
    assert shelves[1].keep_from() == 500
    shelves[1].stored = shelves[1].stored._replace(gone=True)
    assert shelves[1].keep_from() == 900
