"""Writes: one at a time for each channel, complete, and none for what did not change."""

from __future__ import annotations

from holdfast.sync.events import SaveFailed
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.base import Write
from holdfast.sync.persistence.snapshot import decode_meta
from holdfast.sync.testkit import CHANNEL, NOW_S


def peer() -> SyncPeer:
    made = SyncPeer("alice")
    made.ensure(CHANNEL, NOW_S)
    return made


def only(writes: list[Write]) -> Write:
    (write,) = writes
    return write


def test_nothing_changed_nothing_to_store() -> None:
    alice = peer()
    assert alice.writes() == []
    alice.handle_timer(NOW_S)
    assert alice.writes() == []


def test_changes_gather_while_a_write_is_under_way() -> None:
    alice = peer()
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    first = only(alice.writes())
    alice.wrap(CHANNEL, b"x", NOW_S, "m2")
    alice.wrap(CHANNEL, b"x", NOW_S, "m3")
    assert alice.writes() == []
    assert alice.status(CHANNEL).unsaved == 3
    alice.saved(CHANNEL, first.number)
    second = only(alice.writes())
    assert second.history is not None and [one.message_id for one in second.history.append] == ["m2", "m3"]
    alice.saved(CHANNEL, second.number)
    assert alice.writes() == []
    assert alice.status(CHANNEL).unsaved == 0


def test_snapshot_and_history_may_fail_apart() -> None:
    alice = peer()
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    first = only(alice.writes())
    alice.saved(CHANNEL, first.number, history_error="full")
    assert SaveFailed(CHANNEL, "full") in alice.events()
    second = only(alice.writes())
    assert second.meta is None and second.history == first.history
    alice.saved(CHANNEL, second.number)
    alice.wrap(CHANNEL, b"x", NOW_S, "m2")
    third = only(alice.writes())
    alice.saved(CHANNEL, third.number, meta_error="full")
    fourth = only(alice.writes())
    assert fourth.meta is not None and fourth.history is None


def test_the_outcome_of_another_write_is_ignored() -> None:
    alice = peer()
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    write = only(alice.writes())
    alice.saved(CHANNEL, write.number + 1, meta_error="not this one")
    alice.saved("elsewhere", 1)
    assert alice.events() == []
    alice.saved(CHANNEL, write.number)
    alice.saved(CHANNEL, write.number, meta_error="told twice")
    assert alice.writes() == []


def test_what_is_stored_with_the_history_is_only_named_in_the_snapshot() -> None:
    alice = peer()
    content = bytes(10_000)
    alice.wrap(CHANNEL, content, NOW_S, "m1")
    first = only(alice.writes())
    assert first.meta is not None and len(first.meta) > 10_000
    alice.saved(CHANNEL, first.number)
    alice.wrap(CHANNEL, b"x", NOW_S, "m2")
    second = only(alice.writes())
    assert second.meta is not None and len(second.meta) < 500
    named, embedded = decode_meta(second.meta).outgoing
    assert (named.message_id, named.data) == ("m1", b"") and embedded.data


def test_a_peer_that_stores_nothing_gathers_nothing() -> None:
    alice = SyncPeer("alice", persistent=False)
    alice.ensure(CHANNEL, NOW_S)
    alice.wrap(CHANNEL, b"x", NOW_S)
    alice.set_hint(CHANNEL, "m", b"h")
    assert alice.writes() == []
    assert alice._channels[CHANNEL].history.pending == {}


def test_a_removed_channel_has_nothing_to_store() -> None:
    alice = peer()
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    write = only(alice.writes())
    alice.remove(CHANNEL)
    alice.ensure(CHANNEL, NOW_S)
    alice.saved(CHANNEL, write.number, meta_error="too late")
    assert alice.writes() == [] and alice.events() == []
    alice.wrap(CHANNEL, b"x", NOW_S, "m2")
    again = only(alice.writes())
    alice.saved(CHANNEL, write.number)
    assert alice.status(CHANNEL).unsaved == 1
    alice.saved(CHANNEL, again.number)
    assert alice.status(CHANNEL).unsaved == 0
