"""A filter that lacks a message is as good as a request, for participants that ask once and no more."""

from __future__ import annotations

from holdfast.sync.model import HistoryEntry, Message
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import INTEROP, Profile
from holdfast.sync.wire import Wire

CHANNEL = "ops"
WALL_S = 1_700_000_000.0


def alice_with(contents: int, profile: Profile = INTEROP) -> SyncPeer:
    alice = SyncPeer("alice", profile=profile, wall_offset_s=WALL_S, persistent=False)
    alice.ensure(CHANNEL, 0.0)
    for number in range(contents):
        alice.wrap(CHANNEL, b"x", 1.0, f"m{number}")
    # Somebody has them all, so that they are not sent again for want of an acknowledgement.
    word = Message(
        "sync-1", CHANNEL, int((WALL_S + 2) * 1000), sender_id="bob",
        causal=tuple(HistoryEntry(f"m{number}", b"", "alice") for number in range(contents)),
    )  # fmt: skip
    alice.unwrap(Wire("spec").encode(word), 2.0)
    return alice


def sync_of_carol(has: list[str], at_s: float) -> bytes:
    carol = SyncPeer("carol", profile=INTEROP, wall_offset_s=WALL_S, persistent=False)
    carol.ensure(CHANNEL, 0.0)
    for message_id in has:
        carol.unwrap(Wire("spec").encode(Message(message_id, CHANNEL, 5, b"x", "alice")), 1.0)
    return carol.wrap_sync(CHANNEL, at_s)


def repaired(alice: SyncPeer, now: float) -> list[str]:
    alice.handle_timer(now)
    return [packet.message_id for packet in alice.packets() if packet.kind == "repair"]


def test_what_a_filter_lacks_is_sent_again() -> None:
    alice = alice_with(3)
    alice.unwrap(sync_of_carol(["m0", "m2"], 60.0), 60.0)
    assert repaired(alice, 60.0) == ["m1"]
    assert repaired(alice, 61.0) == []


def test_what_is_on_its_way_is_not() -> None:
    alice = alice_with(1)
    alice.unwrap(sync_of_carol([], 20.0), 20.0)
    assert repaired(alice, 59.0) == []


def test_no_more_at_once_than_the_profile_says() -> None:
    alice = alice_with(9, INTEROP._replace(repair_offers=4))
    alice.unwrap(sync_of_carol([], 60.0), 60.0)
    assert len(repaired(alice, 60.0)) == 4


def test_profiles_of_participants_that_ask_again_do_without() -> None:
    alice = alice_with(1, INTEROP._replace(repair_offers=0))
    alice.unwrap(sync_of_carol([], 60.0), 60.0)
    assert repaired(alice, 300.0) == []


def test_nobody_is_sent_its_own_messages() -> None:
    alice = alice_with(0)
    wire = Wire("spec")
    alice.unwrap(wire.encode(Message("theirs", CHANNEL, 5, b"x", "carol")), 1.0)
    alice.unwrap(sync_of_carol([], 60.0), 60.0)
    assert repaired(alice, 300.0) == []
