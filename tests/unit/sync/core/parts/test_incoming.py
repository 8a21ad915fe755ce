"""Messages that wait, against a model that looks at all of them each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.sync.core.parts.incoming import Incoming, Waiting
from holdfast.sync.events import MessageReady
from holdfast.sync.model import HistoryEntry, Message
from holdfast.sync.peer import SyncPeer
from holdfast.sync.testkit import CHANNEL, NOW_S, message


def waiting(name: str, *missing: str) -> tuple[Waiting, tuple[HistoryEntry, ...]]:
    one = Waiting(Message(name, "c", 1, b"x"), b"", set(missing), 0.0)
    return one, tuple([HistoryEntry(each) for each in missing])


def test_meeting_one_frees_those_that_wait_for_nothing_else() -> None:
    incoming = Incoming(10.0)
    incoming.add(*waiting("x", "a", "b"))
    incoming.add(*waiting("y", "a"))
    assert [one.message.message_id for one in incoming.meet("a")] == ["y"]
    assert [one.message.message_id for one in incoming.meet("b")] == ["x"]
    assert incoming.meet("a") == []
    assert (incoming.waiting, incoming.missing) == ({}, {})
    assert incoming.next_deadline() is None


def test_what_is_given_up_is_noted_with_what_waited() -> None:
    incoming = Incoming(10.0)
    incoming.add(*waiting("x", "a", "b"))
    assert incoming.take_due(9.9) == []
    assert incoming.take_due(10.0) == ["a", "b"]
    incoming.meet("a", lost=True)
    (freed,) = incoming.meet("b", lost=True)
    assert freed.lost == ("a", "b")


def test_waiting_for_ever_is_possible() -> None:
    incoming = Incoming(0.0)
    incoming.add(*waiting("x", "a"))
    assert incoming.next_deadline() is None


@given(st.data())
def test_any_order_of_arrival_is_one_causal_order(data: st.DataObject) -> None:
    """Messages of a random graph in random order, some twice: all are delivered, once, each after all it refers to."""
    count = data.draw(st.integers(1, 14))
    after = [data.draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set() for number in range(count)]
    order = data.draw(st.permutations(list(range(count)) + data.draw(st.lists(st.integers(0, count - 1), max_size=5))))
    peer = SyncPeer("alice", persistent=False)
    peer.ensure(CHANNEL, NOW_S)
    for number in order:
        peer.unwrap(message(f"m{number}", 10 + number, [f"m{one}" for one in sorted(after[number])]), NOW_S)
    given_ = [int(event.message_id[1:]) for event in peer.events() if isinstance(event, MessageReady)]
    assert sorted(given_) == list(range(count))
    place = {number: index for index, number in enumerate(given_)}
    assert all(place[one] < place[number] for number in range(count) for one in after[number])
    assert [one.message_id for one in peer.log(CHANNEL)] == [f"m{number}" for number in range(count)]
    status = peer.status(CHANNEL)
    assert (status.state, status.incoming, status.missing, status.repair_requests) == ("synced", 0, 0, 0)
