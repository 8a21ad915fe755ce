"""What an operation costs does not grow with what there is: counted in steps of the interpreter, not in time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from holdfast.sync.model import HistoryEntry
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import LAN
from holdfast.sync.testkit import CHANNEL, NOW_S, message


def lines_of(operation: Callable[[], object]) -> int:
    """How many lines of Python it runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(before)
    return count


def grown(history: int, outgoing: int, incoming: int, channels: int) -> SyncPeer:
    peer = SyncPeer("alice", profile=LAN.replaced(history_max=100_000, bloom_capacity=64), persistent=False)
    peer.ensure(CHANNEL, NOW_S)
    for number in range(channels):
        peer.ensure(f"other{number}", NOW_S)
    for number in range(history):
        after = [f"h{number - 1}"] if number else []
        peer.unwrap(message(f"h{number}", number + 1, after), NOW_S)
    for number in range(incoming):
        peer.unwrap(message(f"w{number}", number + 1, [f"gone{number}"]), NOW_S)
    for number in range(outgoing):
        peer.wrap(CHANNEL, b"x", NOW_S, f"o{number}")
    peer.next_deadline()
    return peer


def costs(peer: SyncPeer) -> dict[str, int]:
    """Of each operation, with its deadline."""
    found = {}
    operations: list[tuple[str, Callable[[], object]]] = [
        ("wrap", lambda: peer.wrap(CHANNEL, b"x", NOW_S, "new")),
        ("unwrap", lambda: peer.unwrap(message("u", 10**6, ["new"], sender="carol"), NOW_S)),
        ("repetition", lambda: peer.unwrap(message("u", 10**6, ["new"], sender="carol"), NOW_S)),
        ("waiting", lambda: peer.unwrap(message("v", 10**6, ["x"], sender="carol"), NOW_S)),
        ("freed", lambda: peer.unwrap(message("x", 10**5, ["h1"], sender="carol"), NOW_S)),
        ("request", lambda: peer.unwrap(message("r", 10**6, asks_for=[HistoryEntry("u", b"", "carol")]), NOW_S)),
        ("met", lambda: peer.mark_dependencies_met(CHANNEL, ["gone1"], NOW_S)),
        ("ephemeral", lambda: peer.wrap_ephemeral(CHANNEL, b"x")),
    ]
    for name, operation in operations:
        found[name] = lines_of(lambda operation=operation: (operation(), peer.next_deadline()))  # type: ignore[misc]
    return found


@pytest.mark.parametrize(
    "large",
    [(2_000, 3, 3, 1), (10, 2_000, 3, 1), (10, 3, 2_000, 1), (10, 3, 3, 2_000)],
    ids=["history", "outgoing", "incoming", "channels"],
)
def test_no_operation_is_dearer_where_there_is_much(large: tuple[int, int, int, int]) -> None:
    small = costs(grown(10, 3, 3, 1))
    much = costs(grown(*large))
    if large[1] > 3:
        # Acknowledging what is there costs what is acknowledged: each at most once in its life.
        assert much.pop("unwrap") < small.pop("unwrap") + 2_000 * 30
    for name, lines in small.items():
        assert much[name] <= lines + 250, name
