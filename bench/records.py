"""Records of a real node: pushed to its disk, pulled, looked up, over a long way; a client's memory for a million."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from holdfast.client.aio import Node, connect
from holdfast.testing import NodeBox

Figure = dict[str, Any]

TEXT = "x" * 900
ROUND_TRIP_MS = 20


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    with NodeBox.temporary() as box:
        box.start_node()
        found = uvloop.run(_figures(box, 3 if quick else 5, 5_000 if quick else 40_000))
        return [*found, *command(box, 10_000 if quick else 100_000), *million(box, 50_000 if quick else 1_000_000)]


async def _figures(box: NodeBox, runs: int, count: int) -> list[Figure]:
    async with connect(box.url, autostart=False) as node:
        pushing, pulling, looking, again = [], [], [], []
        for run in range(runs):
            refs: list[str] = []
            pushing.append(await rate(count, push(node, records(f"run-{run}", count), refs)))
            pulling.append(await rate(count, drain(node.records.pull_stream(refs))))
            looking.append(await rate(count, drain(node.records.lookup_stream(refs))))
            again.append(await rate(count, drain(node.records.push_stream(records(f"run-{run}", count)))))
        return [
            figure("records of 1 KiB pushed on one stream, ack disk (SDK)", pushing, 20_000),
            figure("records of 1 KiB pulled and verified on one stream (SDK)", pulling, 30_000),
            figure("records looked up on one stream (SDK)", looking, 50_000),
            figure("records of 1 KiB pushed again, which are there (SDK)", again, None),
            await far_away(box, runs, count),
        ]


def records(run: str, count: int) -> Iterator[dict[str, Any]]:
    """Records of 1 KiB that no other run has."""
    for number in range(count):
        yield {"name": f"{run}-{number}", "version": "v1", "annotations": {"of": "bench"}, "text": TEXT}


async def push(node: Node, items: Iterator[dict[str, Any]], refs: list[str]) -> None:
    """Push them; their CIDs."""
    async for result in node.records.push_stream(items):
        assert result.ref is not None
        refs.append(result.ref.cid)


async def drain(results: AsyncIterator[Any]) -> None:
    """All results; none may be an error."""
    async for result in results:
        assert result.error is None


async def rate(count: int, work: Any) -> float:
    """Items a second."""
    started = time.perf_counter()
    await work
    return count / (time.perf_counter() - started)


def figure(name: str, values: list[float], goal: float | None) -> Figure:
    """A rate."""
    value = statistics.median(values)
    reached = None if goal is None else value >= goal
    return {"name": name, "value": round(value), "unit": "/s", "goal": goal, "reached": reached, "runs": len(values)}


@asynccontextmanager
async def delayed(box: NodeBox) -> AsyncIterator[str]:
    """The node, 20 ms away."""
    path = str(box.runtime_dir / "far.sock")
    arguments = [path, box.url.removeprefix("unix://"), str(ROUND_TRIP_MS)]
    proxy = subprocess.Popen([sys.executable, "-m", "bench.delay", *arguments], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert proxy.stdout is not None
    try:
        assert proxy.stdout.readline() == b"ready\n"
        yield f"unix://{path}"
    finally:
        proxy.kill()
        proxy.wait()
        proxy.stdout.close()


async def far_away(box: NodeBox, runs: int, count: int) -> Figure:
    """One stream for all records against one for each, at a round trip of 20 ms."""
    streamed, single, ratios = [], [], []
    async with delayed(box) as url, connect(url, autostart=False) as node:
        for run in range(runs):
            streamed.append(await rate(count, drain(node.records.push_stream(records(f"far-{run}", count)))))
            single.append(await rate(20, one_by_one(node, run)))
            ratios.append(streamed[-1] / single[-1])
    ratio = statistics.median(ratios)
    return {
        "name": f"records pushed over {ROUND_TRIP_MS} ms round trip, one stream",
        "value": round(statistics.median(streamed)),
        "unit": "/s",
        "goal": ">= 200 x peer",
        "reached": ratio >= 200,
        "peer": "one stream per record",
        "peer_value": round(statistics.median(single), 1),
        "ratio": round(ratio, 1),
        "runs": runs,
    }


async def one_by_one(node: Node, run: int) -> None:
    """Twenty records, each on a stream of its own."""
    for record in records(f"single-{run}", 20):
        await node.records.push(record)


# the command


def command(box: NodeBox, count: int) -> list[Figure]:
    """Lines of a file, and of a pipe, one in a hundred of them bad: exactly those have to fail."""
    path = box.directory / "lines.jsonl"
    found = []
    for way in ("a file", "a pipe"):
        lines, bad = bad_lines(way, count)
        path.write_bytes(b"\n".join(lines))
        arguments = box.command("record", "push", "--unique", str(path) if way == "a file" else "-")
        started = time.perf_counter()
        piped = None if way == "a file" else b"\n".join(lines)
        done = subprocess.run(arguments, env=box.env, input=piped, capture_output=True, check=False)
        seconds = time.perf_counter() - started
        assert done.returncode == 1
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert [result["line"] for result in results] == list(range(1, count + 1))
        assert {result["line"] for result in results if "error" in result} == bad
        found.append(
            {
                "name": f"holdfast record push of {count:,} lines from {way}, 1 % of them bad",
                "value": round(count / seconds),
                "unit": "/s",
                "goal": None,
                "reached": None,
                "runs": 1,
                "note": "exactly the bad ones failed, each named by its line",
            }
        )
    return found


def bad_lines(way: str, count: int) -> tuple[list[bytes], set[int]]:
    """Lines, and the numbers of those that are no JSON, no object, too large, or equal to one before."""
    lines = [json.dumps(record).encode() for record in records(way, count)]
    for place, number in enumerate(range(99, count, 100)):
        kinds = (b"{not json", b"[1, 2]", lines[number - 50], b'{"text": "' + b"x" * (5 << 20) + b'"}')
        lines[number] = kinds[place % (4 if place < 16 else 3)]
    return lines, set(range(100, count + 1, 100))


# memory

CLIENT = """
import asyncio, json, sys, uvloop
from holdfast.client.aio import connect

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

async def main(url, count):
    early = 0
    async with connect(url, autostart=False) as node:
        records = ({"name": "m-%d" % n, "text": "x" * 900} for n in range(count))
        async for result in node.records.push_stream(records):
            assert result.error is None
            if result.index == count // 10:
                early = resident()
    print(json.dumps({"early": early, "peak": resident()}))

uvloop.run(main(sys.argv[1], int(sys.argv[2])))
"""


def million(box: NodeBox, count: int) -> list[Figure]:
    """Peak resident memory of a client that pushes so many records.  Linux tells it."""
    name = "client's peak resident memory for a push of 1,000,000 records of 1 KiB"
    if not sys.platform.startswith("linux"):
        return [{"name": name, "value": None, "unit": "MB", "goal": "<= 64", "note": "measured on Linux only"}]
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CLIENT, box.url, str(count)], check=True, capture_output=True)
    seconds = time.perf_counter() - started
    found = json.loads(done.stdout)
    peak = found["peak"] / 1e6
    return [
        {
            "name": name,
            "value": round(peak, 1),
            "unit": "MB",
            "goal": "<= 64",
            "reached": peak <= 64,
            "runs": 1,
            "note": f"{found['early'] / 1e6:.1f} MB after a tenth of {count:,}; {count / seconds:,.0f} records/s",
        }
    ]
