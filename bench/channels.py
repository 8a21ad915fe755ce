"""Channels: what an append costs as a channel grows, and what channels cost that nobody uses."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from holdfast.channels.appending.admission import admit
from holdfast.channels.packing import check_batch, encode_batch
from holdfast.channels.state.channel import Bounds, Channel
from holdfast.channels.state.record import ChannelRecord
from holdfast.channels.state.senders import Senders

Figure = dict[str, Any]

PAYLOAD = b"x" * 100
ROOMY = Bounds(
    entries_max=1 << 40, reserve_max=256, payload_bytes_max=1 << 20, questions_max=64, rate_per_s=1e9, burst=1 << 30
)


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    runs = 3 if quick else 7
    return [
        *append_cost(runs, 2_000 if quick else 20_000),
        idle_channels(10_000 if quick else 100_000),
    ]


# appending, without an engine


def append_cost(runs: int, appends: int) -> list[Figure]:
    """Checking, deciding on and packing one entry at 10, 10,000 and 1,000,000 entries; and in batches of 1,000."""
    sizes = (10, 10_000, 1_000_000)
    channels = {size: grown(size) for size in sizes}
    costs: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(runs):  # interleaved, so that what else the machine does hits all alike
        for size in sizes:
            costs[size].append(cost_of(channels[size], appends, 1))
    medians = {size: statistics.median(costs[size]) for size in sizes}
    batched = statistics.median(cost_of(channels[10_000], max(20, appends // 200), 1_000) for _ in range(runs))
    flat = max(medians.values()) / min(medians.values())
    return [
        *(figure(f"append of one entry at {size:,} entries, no engine", medians[size], 5.0, runs) for size in sizes),
        {
            "name": "append cost, dearest of the three sizes to cheapest",
            "value": round(flat, 3),
            "unit": "x",
            "goal": "<= 1.2",
            "reached": flat <= 1.2,
            "runs": runs,
            "note": "two senders alternate, so that nothing of what is remembered can be folded together",
        },
        figure("append in batches of 1,000, per entry, no engine", batched, 1.0, runs),
    ]


def figure(name: str, value_us: float, goal_us: float, runs: int) -> Figure:
    """A time with an upper bound."""
    return {
        "name": name,
        "value": round(value_us, 3),
        "unit": "us",
        "goal": f"<= {goal_us:g}",
        "reached": value_us <= goal_us,
        "runs": runs,
    }


def grown(size: int) -> Callable[[], Channel]:
    """Gives channels that hold ``size`` entries; the entries themselves are with the engine, and there is none."""
    channel = Channel("p", "c", ChannelRecord(submitter="a"))
    senders = channel.senders = Senders()
    for index in range(1, size + 1):
        senders.book("ab"[index % 2]).add((index + 1) // 2, index)
    channel.next_index = size + 1
    return lambda: channel


def cost_of(make: Callable[[], Channel], appends: int, batch_size: int) -> float:
    """Microseconds for each entry."""
    channel = make()
    assert channel.senders is not None
    batches = list(_batches(channel, appends, batch_size))
    started = time.perf_counter()
    for place, batch in enumerate(batches):
        admit(channel, ROOMY, "ab"[place % 2], check_batch(batch), 0.0)
    return (time.perf_counter() - started) / (appends * batch_size) * 1e6


def _batches(channel: Channel, appends: int, batch_size: int) -> Iterator[bytes]:
    assert channel.senders is not None
    last = {sender: channel.senders.last_sequence(sender) for sender in "ab"}
    for place in range(appends):
        sender = "ab"[place % 2]
        yield encode_batch([PAYLOAD] * batch_size, first_sequence=last[sender] + 1)
        last[sender] += batch_size


# memory

FILL = """
import asyncio, sys
from holdfast.channels.access import Owner
from holdfast.channels.router import ChannelRouter
from holdfast.clock import RealClock
from holdfast.engine.sqlite import SqliteEngine
from holdfast.limits import LIMITS
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))

async def main(directory, count):
    engine = SqliteEngine(directory)
    await engine.start()
    router = ChannelRouter(engine, clock=RealClock(), limits=LIMITS)
    await router.open()
    owner = Owner("local:0")
    for first in range(0, count, 2000):
        await asyncio.gather(
            *(router.create(owner, f"process-{n // 10:05}", f"channel-{n % 10}") for n in range(first, first + 2000))
        )
    await router.close()
    await engine.stop()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

OPEN = """
import asyncio, json, sys, time
from holdfast.channels.router import ChannelRouter
from holdfast.clock import RealClock
from holdfast.engine.sqlite import SqliteEngine
from holdfast.limits import LIMITS

async def main(directory):
    before = peak_bytes()
    started = time.perf_counter()
    engine = SqliteEngine(directory)
    await engine.start()
    router = ChannelRouter(engine, clock=RealClock(), limits=LIMITS)
    await router.open()
    seconds = time.perf_counter() - started
    rss = peak_bytes()
    print(json.dumps({"channels": len(router), "rss": rss, "before": before, "seconds": seconds}))
    await router.close()
    await engine.stop()

def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

asyncio.run(main(sys.argv[1]))
"""


def idle_channels(count: int) -> Figure:
    """Peak resident memory of a process that has opened ``count`` channels and uses none.  Linux tells it."""
    name = "100,000 idle channels, peak resident memory of the whole process"
    if not sys.platform.startswith("linux"):
        return {"name": name, "value": None, "unit": "MB", "goal": "<= 200", "note": "measured on Linux only"}
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, "-c", FILL, directory, str(count)], check=True)
        done = subprocess.run([sys.executable, "-c", OPEN, directory], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["channels"] == count
    resident = found["rss"] / 1e6 if count == 100_000 else (found["rss"] - found["before"]) / 1e6 * 100_000 / count
    each = (found["rss"] - found["before"]) / count
    return {
        "name": name,
        "value": round(resident, 1),
        "unit": "MB",
        "goal": "<= 200",
        "reached": resident <= 200,
        "runs": 1,
        "note": f"{each:.0f} bytes each, engine included; opened in {found['seconds']:.1f} s",
    }
