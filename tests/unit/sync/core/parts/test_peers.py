"""What is known of the others."""

from __future__ import annotations

from holdfast.sync.core.parts.peers import Peers


def test_figures_only_grow() -> None:
    peers = Peers(9)
    peers.saw("bob", 10, 3, 1.0)
    peers.saw("bob", 8, 2, 2.0)
    (bob,) = peers.status(5)
    assert bob == ("bob", 10, 2.0, 2)


def test_whoever_was_not_heard_for_longest_is_forgotten() -> None:
    peers = Peers(2)
    for name, now in (("a", 1.0), ("b", 2.0), ("a", 3.0), ("c", 4.0)):
        peers.saw(name, 1, 0, now)
    assert [one.sender_id for one in peers.status(0)] == ["a", "c"]
