"""What a subscriber that sleeps costs the appender: 20,000 entries/s from one client, one append a millisecond.

There are two channels of one node: nobody reads the one, the other has the sleeper, whose process is stopped dead in
the middle of its iterator.  A run appends to them in turn, a slice of a quarter of a second each, so that whatever else
the machine or its disk does hits both; its ratio is that of the two 99th percentiles.  In the runs that show the noise
nobody reads either of them.  In the last kind of run a sleeper wakes that is 30 s of entries behind, and reads the log
up to the present while the appends go on.  What sleepers find when they wake is checked in each run: nothing missed, or
where to go on.

The first figure leaves disk, sockets and processes out: what the router does for an append, as the fastest tenth of
very many has it, which is the same to a hundredth from run to run however busy the machine is.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

import structlog
import uvloop

import holdfast
from bench.channels_peers import WIDE
from bench.listeners import child, line_of
from holdfast.channels.model import ChannelLimits
from holdfast.channels.packing import encode_batch
from holdfast.channels.testkit import ChannelRoom
from holdfast.engine.memory import MemoryEngine
from holdfast.testing import NodeBox

Figure = dict[str, Any]

PAYLOAD = b"x" * 100
PER_S = 20_000
BATCH = 20
"""Entries of one append; one append a millisecond."""
BEHIND_S = 30
"""How long a sleeper slept that wakes."""
FILL = 10_000
"""Entries of one append while the log is filled that a waking one reads."""
SLICE_S = 0.25
NOBODY, PAGED, HASTY, WEB, PAGED_WAKES, WEB_WAKES = "nobody", "paged", "disconnect", "sse", "paged wakes", "sse wakes"
KINDS = {
    NOBODY: "nobody: the noise",
    PAGED: "an SDK subscriber asleep, paged",
    HASTY: "an SDK subscriber asleep, disconnect",
    WEB: "an SSE subscriber asleep",
    PAGED_WAKES: f"a paged SDK subscriber that wakes {BEHIND_S} s behind",
    WEB_WAKES: f"an SSE subscriber that wakes {BEHIND_S} s behind",
}


class Sizes(NamedTuple):
    """How much is measured."""

    runs: int
    slices: int
    behind_s: float


class Run(NamedTuple):
    """Of one run, for the channel beside a subscriber and for the other one."""

    p99_ms: float
    plain_p99_ms: float
    cpu_ratio: float
    """The node's processor time for each append."""


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    sizes = Sizes(2, 4, 2.0) if quick else Sizes(9, 24, BEHIND_S)
    return [uvloop.run(router_cost(500 if quick else 5_000)), *uvloop.run(_measure(sizes))]


async def router_cost(appends: int) -> Figure:
    """The router's time for an append on a memory engine, with whatever it sets going, beside 20 sleepers."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    engine = MemoryEngine()
    times: dict[str, list[float]] = {"alone": [], "slept-on": []}
    async with ChannelRoom(lambda: engine) as room:
        limits = ChannelLimits(rate_per_s=1e9, burst=10**9, entries_max=10**9)
        for name in times:
            await room.router.create(room.owner, "bench", name, limits=limits)
        for _ in range(20):
            await room.listen("bench/slept-on", frozen=True)
        for place in range(FILL // BATCH + appends):
            batch = encode_batch([PAYLOAD] * BATCH, first_sequence=1 + place * BATCH)
            for name, found in times.items():
                started = time.perf_counter()
                await room.router.append(room.owner, f"bench/{name}", batch)
                for _ in range(3):
                    await asyncio.sleep(0)
                found.append(time.perf_counter() - started)
    alone, slept_on = (statistics.quantiles(found[FILL // BATCH :], n=10)[0] * 1e6 for found in times.values())
    return {
        "name": f"the router's time for an append of {BATCH} entries, no disk, beside 20 subscribers asleep",
        "value": round(slept_on, 2),
        "unit": "us",
        "goal": "<= 1.05 x peer",
        "reached": slept_on <= 1.05 * alone,
        "peer": "beside nobody",
        "peer_value": round(alone, 2),
        "ratio": round(slept_on / alone, 3),
        "runs": appends,
    }


async def _measure(sizes: Sizes) -> list[Figure]:
    found: dict[str, list[Run]] = {kind: [] for kind in KINDS}
    with NodeBox.temporary() as box:
        box.start_node("--http", "127.0.0.1:0", "--http-open")
        async with holdfast.connect(box.url, autostart=False) as node:
            plain, slept_on = [await node.channels.create("bench", name, **WIDE) for name in ("plain", "slept-on")]
            bench = Bench(box, plain, slept_on)
            await bench.fill(sizes.behind_s)
            await bench.run(NOBODY, sizes)
            for _ in range(sizes.runs):
                for kind in KINDS:
                    found[kind].append(await bench.run(kind, sizes))
    return [_figure(kind, found) for kind in KINDS]


def _figure(kind: str, found: dict[str, list[Run]]) -> Figure:
    runs = found[kind]
    ratios = [run.p99_ms / run.plain_p99_ms for run in runs]
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    figure: Figure = {
        "name": f"append at 20,000 entries/s, p99, beside {KINDS[kind]}",
        "value": round(statistics.median(run.p99_ms for run in runs), 3),
        "unit": "ms",
        "peer": "beside nobody",
        "peer_value": round(statistics.median(run.plain_p99_ms for run in runs), 3),
        "ratio": round(ratio, 3),
        "runs": len(runs),
        "note": f"half of the ratios are within {low:.2f} and {high:.2f}",
    }
    if kind not in (PAGED_WAKES, WEB_WAKES):
        cpu = statistics.median(run.cpu_ratio for run in runs)
        figure["note"] += f"; the node's processor time for an append is {cpu:.3f} x of that beside nobody"
    if kind in (PAGED, HASTY, WEB):
        noise = statistics.median(run.p99_ms / run.plain_p99_ms for run in found[NOBODY])
        figure |= {"goal": "<= 1.05 x peer", "reached": ratio <= max(1.05, noise, 1 / noise)}
    return figure


class _Side:
    """One of the two channels, and how its appends went."""

    def __init__(self, channel: holdfast.Channel) -> None:
        self.channel = channel
        self.last = 0
        self.times: list[float] = []
        self.cpu_s = 0.0

    async def append(self, count: int) -> None:
        """Append so many entries; as many are there when it is back."""
        self.last += count
        await self.channel.append_batch([PAYLOAD] * count)

    async def timed(self) -> None:
        """One append of those that are measured."""
        started = time.perf_counter()
        await self.append(BATCH)
        self.times.append(time.perf_counter() - started)

    def taken(self) -> tuple[float, float]:
        """The 99th percentile in milliseconds and the node's seconds for each append, of all since the last call."""
        p99, cpu_s = statistics.quantiles(self.times, n=100)[98] * 1e3, self.cpu_s / len(self.times)
        self.times, self.cpu_s = [], 0.0
        return p99, cpu_s


class Bench:
    """The two channels of one node, and sleepers that come and go."""

    def __init__(self, box: NodeBox, plain: holdfast.Channel, slept_on: holdfast.Channel) -> None:
        assert box.node is not None
        self._box = box
        self._plain = _Side(plain)
        self._slept_on = _Side(slept_on)
        self._web = f"{box.listening('http')}/v1/stream/channels/{slept_on.id}"
        self._threads = Path(f"/proc/{box.node.pid}/task")

    async def fill(self, seconds: float) -> None:
        """What a waking sleeper has to read, in appends as everywhere."""
        for _ in range(int(seconds * PER_S) // FILL):
            await asyncio.gather(*(self._slept_on.append(BATCH) for _ in range(FILL // BATCH)))

    async def run(self, kind: str, sizes: Sizes) -> Run:
        """One run of this kind."""
        gc.collect()
        gc.disable()
        try:
            if kind == NOBODY:
                return await self._alternate(sizes.slices)
            if kind in (PAGED_WAKES, WEB_WAKES):
                return await self._waking(kind, sizes)
            async with self._sleeper(kind, self._slept_on.last) as process:
                await self._paced(self._slept_on, 1.0)  # until its window and the sockets are full
                self._slept_on.times.clear()
                run = await self._alternate(sizes.slices)
                await wake(process, self._slept_on.last)
            return run
        finally:
            gc.enable()

    async def _alternate(self, slices: int) -> Run:
        for place in range(slices):
            side = (self._slept_on, self._plain)[(place + place // 2) % 2]
            spent_s = self._cpu_s()
            await self._paced(side, SLICE_S)
            side.cpu_s += self._cpu_s() - spent_s
        (p99, cpu), (plain_p99, plain_cpu) = self._slept_on.taken(), self._plain.taken()
        return Run(p99, plain_p99, cpu / plain_cpu if plain_cpu else 1.0)

    async def _waking(self, kind: str, sizes: Sizes) -> Run:
        behind = int(sizes.behind_s * PER_S)
        async with self._sleeper("sse" if kind == WEB_WAKES else "paged", self._slept_on.last - behind) as process:
            await self._paced(self._plain, SLICE_S * sizes.slices / 4)
            woken = asyncio.create_task(wake(process, self._slept_on.last))
            await self._paced(self._slept_on, SLICE_S, woken.done)
            await woken
        return Run(self._slept_on.taken()[0], self._plain.taken()[0], 1.0)

    def _sleeper(self, policy: str, after: int) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        return sleeper(policy, self._web if policy == "sse" else self._box.url, self._slept_on.channel.id, after)

    async def _paced(self, side: _Side, seconds: float, over: Callable[[], bool] = lambda: True) -> None:
        """Append for so long, and on until ``over``.

        None waits for the one before, so that one which takes long is not forgiven those it would hold up.
        """
        pending: set[asyncio.Task[None]] = set()
        started = time.perf_counter()
        count = 0
        while (due := started + count * BATCH / PER_S) < started + seconds or not over():
            wait_s = due - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue
            task = asyncio.create_task(side.timed())
            pending.add(task)
            task.add_done_callback(pending.discard)
            count += 1
        await asyncio.gather(*pending)

    def _cpu_s(self) -> float:
        """What the node has spent so far; 0 where the system does not tell."""
        try:
            return sum(int(one.read_text().split()[0]) for one in self._threads.glob("*/schedstat")) / 1e9
        except OSError:
            return 0.0


async def wake(process: asyncio.subprocess.Process, last: int) -> None:
    """Have the sleeper read until ``last``; that it missed nothing, or knows where to go on, is its to check."""
    assert process.stdin is not None
    process.stdin.write(f"{last}\n".encode())
    told = await line_of(process)
    assert told == "done", told


def sleeper(
    policy: str, address: str, channel: str, after: int
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """A process that has subscribed and does nothing until it is told, on its standard input, up to where to read."""
    return child("sleep", [policy, address, channel, str(after)], stdin=subprocess.PIPE)
