"""Group sync: two peers, every message through its bytes: ``python -m bench.sync [--quick]``.

The peer is npm ``@waku/sds`` in the same run, through the bridge of the interop tests: one of its parties sends to
another, which answers every tenth message with a sync message.  Ours do the same, in the same profile.  (``make test``
installs it; without it the figures stand alone.)
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench.figures import Figure
from bench.report import table
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import INTEROP, LAN, Profile

HERE = Path(__file__).resolve().parent
BRIDGE = HERE.parent / "tests" / "interop" / "sds" / "bridge.mjs"
CONTENT_BYTES = 100
NOW_S = 1_700_000_000.0
REPLY_EVERY = 10
RUNS = 5


class Rate(NamedTuple):
    """What one run gave."""

    per_s: float
    bytes_each: float


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` sends fewer messages and runs the slow peer once."""
    count = 4_000 if quick else 20_000
    return [
        against_waku(1_000, 10, 2 if quick else RUNS),
        against_waku(2_000, 20, 1) if quick else against_waku(5_000, 60, 3),
        default_profile(count),
        flat(count),
        size(count),
        interop_size(),
    ]


def pair(profile: Profile, messages: int, *, history: int | None = None) -> Rate:
    """Two peers send each other ``messages`` in turns."""
    if history is not None:
        profile = profile.replaced(history_max=history)
    alice, bob = (SyncPeer(name, profile=profile, persistent=False) for name in ("alice", "bob"))
    for peer in (alice, bob):
        peer.ensure("bench", NOW_S)
    contents = [f"{number} ".encode().ljust(CONTENT_BYTES, b"~") for number in range(messages)]
    total = 0
    now = NOW_S
    if history is not None:
        for _ in range(history):  # the history is full before the clock starts
            alice.unwrap(bob.wrap("bench", b"filling", now), now)
            alice.events()
    began = time.perf_counter()
    for content in contents:
        now += 0.001
        data = alice.wrap("bench", content, now)
        total += len(data)
        bob.unwrap(data, now)
        bob.events()
        alice, bob = bob, alice
    return Rate(messages / (time.perf_counter() - began), total / messages)


def one_way(messages: int) -> Rate:
    """One peer sends, the other answers with a sync message now and then; as the bridge's ``bench`` does it."""
    alice, bob = (SyncPeer(name, profile=INTEROP, persistent=False) for name in ("alice", "bob"))
    for peer in (alice, bob):
        peer.ensure("bench", NOW_S)
    total = delivered = 0
    now = NOW_S
    began = time.perf_counter()
    for number in range(messages):
        now += 0.001
        data = alice.wrap("bench", number.to_bytes(4, "big").ljust(CONTENT_BYTES, b"\0"), now)
        total += len(data)
        bob.unwrap(data, now)
        delivered += len(bob.events())
        if number % REPLY_EVERY == REPLY_EVERY - 1:
            alice.unwrap(bob.wrap_sync("bench", now), now)
            alice.events()
    took_s = time.perf_counter() - began
    assert delivered == messages
    return Rate(messages / took_s, total / messages)


def waku(messages: int) -> Rate | None:
    """The same with two parties of ``@waku/sds``; None where it is not installed."""
    node = shutil.which("node")
    if node is None or not BRIDGE.exists() or not (BRIDGE.parent / "node_modules").exists():
        return None
    request = {"op": "bench", "messages": messages, "bytes": CONTENT_BYTES, "reply": REPLY_EVERY}
    done = subprocess.run(
        [node, str(BRIDGE)], cwd=BRIDGE.parent, input=json.dumps(request), capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["delivered"] == messages
    return Rate(messages / answer["seconds"], answer["wire_bytes"] / messages)


def against_waku(messages: int, goal: float, runs: int) -> Figure:
    """Ours in the other's profile, by turns with it."""
    pairs = [(one_way(messages).per_s, waku(messages)) for _ in range(runs)]
    value = statistics.median(mine for mine, _ in pairs)
    figure: Figure = {
        "name": f"wrap and unwrap between 2 peers, profile interop, {messages:,} messages",
        "value": round(value),
        "unit": "messages/s",
        "goal": f">= {goal:g} x peer",
        "reached": None,
        "runs": runs,
    }
    theirs = [other for _, other in pairs if other is not None]
    if not theirs:
        return figure | {"note": "the peer is not installed: npm ci in tests/interop/sds"}
    ratio = statistics.median(mine / other.per_s for mine, other in pairs if other is not None)
    return figure | {
        "peer": "npm @waku/sds",
        "peer_value": round(statistics.median(other.per_s for other in theirs)),
        "ratio": round(ratio, 1),
        "reached": ratio >= goal,
    }


def default_profile(messages: int) -> Figure:
    value = statistics.median(pair(LAN, messages).per_s for _ in range(RUNS))
    return {
        "name": "wrap and unwrap between 2 peers, profile lan",
        "value": round(value),
        "unit": "messages/s",
        "goal": 15_000,
        "reached": value >= 15_000,
        "runs": RUNS,
        "note": f"{1e6 / value:.0f} µs for both, with events",
    }


def flat(messages: int) -> Figure:
    """A long history against a short one; both full."""
    pairs = [(pair(LAN, messages, history=100).per_s, pair(LAN, messages, history=10_000).per_s) for _ in range(RUNS)]
    ratio = statistics.median(short / long for short, long in pairs)
    return {
        "name": "the same, time at a history of 10,000 against one of 100",
        "value": round(ratio, 2),
        "unit": "x",
        "goal": "<= 1.2",
        "reached": ratio <= 1.2,
        "runs": RUNS,
    }


def size(messages: int) -> Figure:
    value = pair(LAN, messages).bytes_each
    return {
        "name": "bytes of a message with 100 bytes of content, profile lan",
        "value": round(value),
        "unit": "B",
        "goal": "<= 400",
        "reached": value <= 400,
        "runs": 1,
    }


def interop_size() -> Figure:
    """What the other implementations' sizes cost."""
    other = waku(500)
    figure: Figure = {
        "name": "bytes of a message with 100 bytes of content, profile interop",
        "value": round(one_way(500).bytes_each),
        "unit": "B",
        "goal": None,
        "reached": None,
        "runs": 1,
    }
    return figure if other is None else figure | {"peer": "npm @waku/sds", "peer_value": round(other.bytes_each)}


if __name__ == "__main__":
    measured = figures("--quick" in sys.argv)
    for figure in measured:
        print(json.dumps(figure, ensure_ascii=False))
    print(table("sync", measured))
