"""What comes back, and what cannot."""

from __future__ import annotations

from holdfast.sync.events import MessageUnacknowledged
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.base import ChannelData
from holdfast.sync.testkit import CHANNEL, NOW_S, message


def test_a_named_message_that_storage_lost_is_given_up_and_said() -> None:
    alice = SyncPeer("alice")
    alice.ensure(CHANNEL, NOW_S)
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    (first,) = alice.writes()
    alice.saved(CHANNEL, first.number)
    alice.unwrap(message("m2", 1), NOW_S)
    (second,) = alice.writes()
    meta = second.meta
    assert meta is not None
    again = SyncPeer("alice")
    again.ensure(CHANNEL, NOW_S, ChannelData(meta))
    assert again.events() == [MessageUnacknowledged(CHANNEL, "m1", 0)]
