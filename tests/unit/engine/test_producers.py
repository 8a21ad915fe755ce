from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.base import Producer
from holdfast.engine.producers import Producers, check_next, check_room, repetition
from holdfast.errors import Duplicate, Fenced, LimitExceeded, SequenceGap, UsageError


def test_nobody_is_known_at_first() -> None:
    producers = Producers()
    assert producers.get("p") is None
    assert len(producers) == 0
    assert repetition(None, Producer("p", 3, 9), 7) is None
    check_next(None, Producer("p", 3, 0))
    with pytest.raises(UsageError, match=r"1 in place of 0, .* 'p' .* epoch 3"):
        check_next(None, Producer("p", 3, 1))


def test_what_is_assigned_is_known_before_it_is_stored() -> None:
    stored, assigned = Producer("p", 0, 1), Producer("p", 0, 2)
    producers = Producers([stored])
    producers.assign(assigned)
    assert producers.get("p") == assigned
    producers.fall_back()
    assert producers.get("p") == stored
    producers.assign(assigned)
    producers.store(assigned)
    producers.fall_back()
    assert producers.get("p") == assigned


def test_storing_an_older_one_leaves_the_newer_assigned() -> None:
    producers = Producers()
    first, second = Producer("p", 0, 0), Producer("p", 0, 1)
    producers.assign(first)
    producers.assign(second)
    producers.store(first)
    assert producers.get("p") == second
    producers.fall_back()
    assert producers.get("p") == first


def test_room() -> None:
    producers = Producers([Producer("a", 0, 0), Producer("b", 0, 0)])
    producers.assign(Producer("a", 0, 1))
    assert len(producers) == 2
    check_room(producers, 3)
    producers.assign(Producer("c", 0, 0))
    with pytest.raises(LimitExceeded) as caught:
        check_room(producers, 3)
    assert (caught.value.name, caught.value.limit, caught.value.value) == ("log_producers_max", 3, 4)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=30),
)
def test_each_epoch_counts_from_0_without_a_gap(tries: list[tuple[int, int]]) -> None:
    """Whatever is tried: what is taken is, for each epoch, 0, 1, 2 and so on, and epochs only grow."""
    taken: list[Producer] = []
    known: Producer | None = None
    for epoch, sequence in tries:
        producer = Producer("p", epoch, sequence)
        try:
            again = repetition(known, producer, 5)
            if again is not None:
                assert known is not None
                assert (again.sequence, again.position) == (known.sequence, 5)
                assert producer in taken
                continue
            check_next(known, producer)
        except Fenced as error:
            assert known is not None
            assert error.epoch == known.epoch > epoch
        except SequenceGap as error:
            assert known is not None
            assert error.received == sequence > error.expected == known.sequence + 1
        except UsageError:
            assert sequence > 0
            assert known is None or epoch > known.epoch
        else:
            taken.append(producer)
            known = producer
    for before, after in pairwise(taken):
        follows = after.epoch == before.epoch and after.sequence == before.sequence + 1
        assert follows or (after.epoch > before.epoch and after.sequence == 0)


def test_the_errors_say_what_to_do() -> None:
    assert str(Duplicate(sequence=3, position=9)) == "appended before; the last sequence is 3"
    assert str(SequenceGap(expected=3, received=5)) == "expected sequence 3, received 5"
    assert SequenceGap(expected=3, received=5).details() == {"expected": 3, "received": 5}
    assert str(Fenced(epoch=4)) == "fenced off: the producer is at epoch 4"
