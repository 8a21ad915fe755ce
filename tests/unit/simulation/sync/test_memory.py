from __future__ import annotations

from holdfast.simulation.sync.memory import held_bytes
from holdfast.sync.model import HistoryEntry
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import LAN
from holdfast.sync.testkit import CHANNEL, NOW_S, message


def test_all_that_is_reached_counts_once() -> None:
    content = bytes(10_000)
    assert 10_000 < held_bytes([content, content, {"again": content}]) < 11_000
    assert held_bytes([content], content) < 1_000
    assert held_bytes({"key" * 1_000: None}) > 3_000
    assert held_bytes([test_all_that_is_reached_counts_once, NotImplementedError]) < 1_000


def talk(alice: SyncPeer, bob: SyncPeer, first: int, count: int) -> None:
    """They send by turns; one of nine does not arrive, and comes later, and some come twice."""
    late = b""
    for number in range(first, first + count):
        now = NOW_S + number / 100
        for who in (alice, bob):
            who.handle_timer(now)
        data = alice.wrap(CHANNEL, b"%d" % number, now)
        for copy in (late, data)[number % 9 == 0 :]:
            if copy:
                bob.unwrap(copy, now)
        if late and number % 9 == 1:
            bob.unwrap(late, now)
        late = data if number % 9 == 0 else b""
        for packet in [*alice.packets(), *bob.packets()]:
            for who in (alice, bob):
                who.unwrap(packet.data, now)
        asking = [HistoryEntry(f"gone{number}", b"", "carol")] if number % 5 == 0 else []
        bob.unwrap(message(f"s{number}", 0, asks_for=asking, content=b"", sender="carol"), now)
        for who in (alice, bob):
            who.events()
        alice, bob = bob, alice


def test_what_a_participant_holds_does_not_grow_with_what_it_has_seen() -> None:
    alice, bob = (SyncPeer(name, profile=LAN.replaced(history_max=100), persistent=False) for name in ("alice", "bob"))
    for who in (alice, bob):
        who.ensure(CHANNEL, NOW_S)
    talk(alice, bob, 0, 3_000)
    wires = [who._shared.wire for who in (alice, bob)]
    before = [held_bytes(who, wire) for who, wire in zip((alice, bob), wires, strict=True)]
    talk(alice, bob, 3_000, 3_000)
    after = [held_bytes(who, wire) for who, wire in zip((alice, bob), wires, strict=True)]
    assert max(before) < 400_000
    for one, other in zip(before, after, strict=True):
        assert abs(other - one) < 0.2 * one
