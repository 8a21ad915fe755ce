"""A history forgets contents long before it forgets that they were there."""

from __future__ import annotations

from holdfast.sync.events import MessageReady
from holdfast.sync.model import HistoryEntry, Message
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import LAN
from holdfast.sync.wire import Wire

CHANNEL = "ops"


def bob_with(count: int) -> SyncPeer:
    bob = SyncPeer("bob", profile=LAN.replaced(history_max=3), wall_offset_s=1_700_000_000.0, persistent=False)
    bob.ensure(CHANNEL, 0.0)
    for number in range(count):
        bob.unwrap(message(f"m{number}", number + 1), 1.0)
    assert len(bob.events()) == count
    return bob


def message(message_id: str, lamport: int, *needs: str) -> bytes:
    causal = tuple(HistoryEntry(need, b"", "alice") for need in needs)
    return Wire("spec").encode(Message(message_id, CHANNEL, lamport, b"x", "alice", causal))


def test_what_comes_again_after_it_went_is_kept_and_not_told_again() -> None:
    bob = bob_with(5)
    bob.unwrap(message("m0", 1), 2.0)
    assert not any(isinstance(event, MessageReady) for event in bob.events())
    assert "m0" in [one.message_id for one in bob.log(CHANNEL)]


def test_what_went_is_not_missed() -> None:
    bob = bob_with(5)
    assert bob.unwrap(message("late", 9, "m0", "m1"), 2.0).missing == ()
    assert [event.message_id for event in bob.events() if isinstance(event, MessageReady)] == ["late"]
    assert bob.status(CHANNEL).state == "synced"


def test_ids_are_forgotten_in_the_end() -> None:
    bob = bob_with(100)
    assert bob.unwrap(message("late", 200, "m99", "m80", "m0"), 2.0).missing == (HistoryEntry("m0", b"", "alice"),)


def test_what_nobody_acknowledged_is_repaired_though_it_left_the_history() -> None:
    alice = SyncPeer("alice", profile=LAN.replaced(history_max=3), wall_offset_s=1_700_000_000.0, persistent=False)
    alice.ensure(CHANNEL, 0.0)
    for number in range(5):
        alice.wrap(CHANNEL, b"x", 1.0, f"a{number}")
    asking = Message("ask", CHANNEL, 10, b"x", "bob", (), b"", (HistoryEntry("a0", b"", "alice"),))
    alice.unwrap(Wire("spec").encode(asking), 1.1)
    alice.handle_timer(1.2)
    assert [packet.message_id for packet in alice.packets() if packet.kind == "repair"] == ["a0"]


def test_whoever_waited_for_messages_tells_soon_that_they_are_there() -> None:
    bob = bob_with(0)
    bob.unwrap(message("m1", 2, "m0"), 1.0)
    bob.unwrap(message("m0", 1), 5.0)
    bob.handle_timer(5.0 + LAN.repair_max_s)
    told = [Wire("spec").decode(packet.data).message.causal for packet in bob.packets() if packet.kind == "sync"]
    assert any("m1" in [entry.message_id for entry in causal] for causal in told)
