"""The SQLite engine in process, against the same disk written by hand.

The peers write framed segment files with ``os.write`` and ``os.fdatasync``; nothing can be found again in them, so they
are what the disk allows, not what a store does.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import threading
import time
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from queue import SimpleQueue
from typing import Any

import uvloop

from holdfast.engine.base import Log, LogMode
from holdfast.engine.sqlite import SqliteEngine

Figure = dict[str, Any]
Pair = tuple[float, float]

MIB = 1024 * 1024
CHUNK = 64 * 1024
BATCH = 1_000
ENTRY = 100


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer pairs."""
    pairs = 3 if quick else 7
    scale = 1 if quick else 4
    return [
        chunks(pairs, 32 * scale * MIB),
        grouped_chunks(pairs, 32 * scale * MIB),
        batches(pairs, 250 * scale),
        run_batches(pairs, 250 * scale),
        singles(pairs, 10_000 * scale),
        run_singles(pairs, 10_000 * scale),
        one_at_a_time(pairs, 500 * scale),
        *pipe(pairs, 64 * scale * MIB),
        read_entries(pairs, 500_000 * scale),
        read_runs(pairs, 500_000 * scale),
        read_bytes(pairs, 64 * scale * MIB),
        restart(pairs if quick else 3, 1_000 if quick else 10_000, (64 if quick else 1024) * MIB),
    ]


# the figures


def chunks(pairs: int, size: int) -> Figure:
    """Output as a job's pipe gives it, 64 of it on their way, against one fdatasync for each chunk."""
    data = os.urandom(CHUNK)
    return _figure(
        "append of 64 KiB chunks, ack disk, 64 in flight",
        "MiB/s",
        "raw append and fdatasync of each chunk",
        0.5,
        [
            (
                _ours(lambda log: _append(log, data, size // CHUNK, 64), "bytes", size / MIB),
                _peer(lambda fd: _write_raw(fd, data, size // CHUNK, 1), size / MIB),
            )
            for _ in range(pairs)
        ],
    )


def grouped_chunks(pairs: int, size: int) -> Figure:
    """The same against a peer that may also fsync many chunks at once."""
    data = os.urandom(CHUNK)
    return _figure(
        "append of 64 KiB chunks, ack disk, 64 in flight, against grouped fdatasync",
        "MiB/s",
        "raw append, one fdatasync for 32 chunks",
        None,
        [
            (
                _ours(lambda log: _append(log, data, size // CHUNK, 64), "bytes", size / MIB),
                _peer(lambda fd: _write_raw(fd, data, size // CHUNK, 32), size / MIB),
            )
            for _ in range(pairs)
        ],
    )


def batches(pairs: int, count: int) -> Figure:
    """Batches of 1,000 entries of 100 bytes, 32 on their way, against a segment file with an fdatasync for each."""
    batch = [os.urandom(ENTRY) for _ in range(BATCH)]
    return _figure(
        "append of batches of 1,000 x 100 B, ack disk, 32 in flight",
        "entries/s",
        "raw segment file, fdatasync of each batch",
        0.9,
        [
            (
                _ours(lambda log: _append(log, batch, count, 32), "entries", count * BATCH),
                _peer(lambda fd: _write_segments(fd, batch, count), count * BATCH),
            )
            for _ in range(pairs)
        ],
    )


def run_batches(pairs: int, count: int) -> Figure:
    """The same entries as blobs, which is how channels store them; against the same segment file."""
    batch = [os.urandom(ENTRY) for _ in range(BATCH)]
    blob = b"".join(batch)
    return _figure(
        "append of blobs of 1,000 x 100 B, ack disk, 32 in flight",
        "entries/s",
        "raw segment file, fdatasync of each batch",
        0.9,
        [
            (
                _ours(lambda log: _append(log, blob, count, 32, BATCH), "runs", count * BATCH),
                _peer(lambda fd: _write_segments(fd, batch, count), count * BATCH),
            )
            for _ in range(pairs)
        ],
    )


def run_singles(pairs: int, count: int) -> Figure:
    """128 tasks that each wait for their blob of one entry."""
    entry = os.urandom(ENTRY)

    async def ours(log: Log) -> None:
        async def wait() -> None:
            for _ in range(count // 128):
                await log.append("log", entry, count=1)

        await asyncio.gather(*(wait() for _ in range(128)))

    return _figure(
        "single blobs of 100 B, ack disk, 128 waiters",
        "appends/s",
        "raw segment file with group commit, 128 waiters",
        0.7,
        [(_ours(ours, "runs", count), _grouped_segments(entry, count, 128)) for _ in range(pairs)],
    )


def singles(pairs: int, count: int) -> Figure:
    """128 tasks that each wait for their append, against a segment file with group commit on a thread."""
    entry = os.urandom(ENTRY)

    async def ours(log: Log) -> None:
        async def wait() -> None:
            for _ in range(count // 128):
                await log.append("log", [entry])

        await asyncio.gather(*(wait() for _ in range(128)))

    return _figure(
        "single appends of 100 B, ack disk, 128 waiters",
        "appends/s",
        "raw segment file with group commit, 128 waiters",
        0.7,
        [(_ours(ours, "entries", count), _grouped_segments(entry, count, 128)) for _ in range(pairs)],
    )


def one_at_a_time(pairs: int, count: int) -> Figure:
    """One task that waits for each append."""
    entry = os.urandom(ENTRY)
    return _figure(
        "single appends of 100 B, ack disk, one waiter",
        "appends/s",
        "raw segment file with group commit, one waiter",
        None,
        [
            (
                _ours(lambda log: _append(log, [entry], count, 1), "entries", count),
                _grouped_segments(entry, count, 1),
            )
            for _ in range(pairs)
        ],
    )


def pipe(pairs: int, size: int) -> list[Figure]:
    """One job's output, 1 MiB at a time, 16 on their way; and how late the event loop is meanwhile."""
    data = os.urandom(MIB)
    lateness: list[float] = []

    async def ours(log: Log) -> None:
        watch = asyncio.create_task(_watch(lateness))
        await _append(log, data, size // MIB, 16)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    speeds = [_ours(ours, "bytes", size / MIB) for _ in range(pairs)]
    speed = statistics.median(speeds)
    late_ms = sorted(lateness)[int(len(lateness) * 0.99)] * 1000
    return [
        {
            "name": "one job's output, 1 MiB appends, ack disk, 16 in flight",
            "value": speed,
            "unit": "MiB/s",
            "goal": ">= 200",
            "reached": speed >= 200,
            "runs": pairs,
        },
        {
            "name": "lateness of the event loop meanwhile, 99th percentile",
            "value": late_ms,
            "unit": "ms",
            "goal": None,
            "runs": len(lateness),
        },
    ]


def read_entries(pairs: int, count: int) -> Figure:
    """Entries of 100 bytes read back from disk, after a restart, 1 MiB for each read."""
    batch = [os.urandom(ENTRY) for _ in range(BATCH)]
    values = [_read_back(lambda log: _append(log, batch, count // BATCH, 32), "entries", count) for _ in range(pairs)]
    return _alone("read back of 100 B entries", values, "entries/s", 3_000_000)


def read_runs(pairs: int, count: int) -> Figure:
    """Entries of 100 bytes, in blobs of 1,000, read back from disk, after a restart, 1 MiB for each read."""
    blob = os.urandom(BATCH * ENTRY)
    values = [
        _read_back(lambda log: _append(log, blob, count // BATCH, 32, BATCH), "runs", count) for _ in range(pairs)
    ]
    return _alone("read back of blobs of 1,000 x 100 B", values, "entries/s", 3_000_000)


def read_bytes(pairs: int, size: int) -> Figure:
    """Bytes read back from disk, after a restart, 1 MiB for each read."""
    data = os.urandom(CHUNK)
    values = [_read_back(lambda log: _append(log, data, size // CHUNK, 64), "bytes", size / 1e6) for _ in range(pairs)]
    return _alone("read back of bytes", values, "MB/s", 1_000)


def restart(pairs: int, logs: int, size: int) -> Figure:
    """Opening an engine with many logs, and many bytes in them."""

    async def fill(directory: str) -> None:
        engine = SqliteEngine(directory)
        await engine.start()
        await asyncio.gather(*(engine.log.create(f"job/{number}") for number in range(logs)))
        data = os.urandom(size // logs)
        for first in range(0, logs, 100):
            await asyncio.gather(*(engine.log.append(f"job/{n}", data) for n in range(first, min(first + 100, logs))))
            await asyncio.gather(*(engine.kv.put(f"job/{n}", data[:500]) for n in range(first, min(first + 100, logs))))
        await engine.stop()

    async def start(directory: str) -> float:
        engine = SqliteEngine(directory)
        began = time.perf_counter()
        await engine.start()
        assert len(await engine.log.list()) == len(await engine.kv.list()) == logs
        taken = time.perf_counter() - began
        await engine.stop()
        return taken

    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(fill(directory))
        values = [uvloop.run(start(directory)) for _ in range(pairs)]
    value = statistics.median(values)
    return {
        "name": f"engine ready with {logs:,} logs and keys and {size // MIB:,} MiB",
        "value": value,
        "unit": "s",
        "goal": "<= 2",
        "reached": value <= 2,
        "runs": pairs,
    }


# our side


async def _append(log: Log, data: bytes | list[bytes], count: int, in_flight: int, entries: int | None = None) -> None:
    waits: deque[Awaitable[int]] = deque()
    for _ in range(count):
        waits.append(log.append("log", data, count=entries))
        if len(waits) >= in_flight:
            await waits.popleft()
    for wait in waits:
        await wait


def _ours(work: Callable[[Log], Coroutine[Any, Any, None]], mode: LogMode, amount: float) -> float:
    async def main(directory: str) -> float:
        engine = SqliteEngine(directory)
        await engine.start()
        await engine.log.create("log", mode=mode)
        began = time.perf_counter()
        await work(engine.log)
        taken = time.perf_counter() - began
        await engine.stop()
        return amount / taken

    with tempfile.TemporaryDirectory() as directory:
        return uvloop.run(main(directory))


def _read_back(fill: Callable[[Log], Coroutine[Any, Any, None]], mode: LogMode, amount: float) -> float:
    async def write(directory: str) -> None:
        engine = SqliteEngine(directory)
        await engine.start()
        await engine.log.create("log", mode=mode)
        await fill(engine.log)
        await engine.stop()

    async def read(directory: str) -> float:
        engine = SqliteEngine(directory)
        await engine.start()
        position = 0 if mode == "bytes" else 1
        began = time.perf_counter()
        while pieces := await engine.log.read("log", position):
            position = pieces[-1].end
        taken = time.perf_counter() - began
        await engine.stop()
        return amount / taken

    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(write(directory))
        return uvloop.run(read(directory))


async def _watch(lateness: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        lateness.append(max(time.perf_counter() - began - 0.001, 0.0))


# the peers' side


def _peer(work: Callable[[int], None], amount: float) -> float:
    with tempfile.TemporaryDirectory() as directory:
        fd = os.open(os.path.join(directory, "segment"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            began = time.perf_counter()
            work(fd)
            return amount / (time.perf_counter() - began)
        finally:
            os.close(fd)


def _write_raw(fd: int, data: bytes, count: int, group: int) -> None:
    for number in range(1, count + 1):
        os.write(fd, data)
        if number % group == 0:
            os.fdatasync(fd)
    os.fdatasync(fd)


def _frame(batch: list[bytes]) -> bytes:
    return b"".join([len(batch).to_bytes(4, "little"), array("I", map(len, batch)).tobytes(), *batch])


def _write_segments(fd: int, batch: list[bytes], count: int) -> None:
    for _ in range(count):
        os.write(fd, _frame(batch))
        os.fdatasync(fd)


class _GroupCommit:
    """A thread that writes and fsyncs whatever was queued while it did so before."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._mutex = threading.Lock()
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._idle = True
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._main)
        self._thread.start()

    def append(self, data: bytes) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        with self._mutex:
            self._queue.append((data, future))
            wake, self._idle = self._idle, False
        if wake:
            self._wake.put(True)
        return future

    def stop(self) -> None:
        self._wake.put(False)
        self._thread.join()

    def _main(self) -> None:
        while self._wake.get():
            while True:
                with self._mutex:
                    group, self._queue = self._queue, []
                    self._idle = not group
                if not group:
                    break
                os.write(self._fd, b"".join([len(data).to_bytes(4, "little") + data for data, _ in group]))
                os.fdatasync(self._fd)
                self._loop.call_soon_threadsafe(self._done, group)

    @staticmethod
    def _done(group: list[tuple[bytes, asyncio.Future[None]]]) -> None:
        for _, future in group:
            future.set_result(None)


def _grouped_segments(entry: bytes, count: int, waiters: int) -> float:
    async def main(fd: int) -> None:
        commit = _GroupCommit(fd)

        async def wait() -> None:
            for _ in range(count // waiters):
                await commit.append(entry)

        await asyncio.gather(*(wait() for _ in range(waiters)))
        commit.stop()

    return _peer(lambda fd: uvloop.run(main(fd)), count)


# results


def _figure(name: str, unit: str, peer: str, share: float | None, pairs: list[Pair]) -> Figure:
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    return {
        "name": name,
        "value": statistics.median(ours for ours, _ in pairs),
        "unit": unit,
        "goal": None if share is None else f">= {share} x peer",
        "reached": None if share is None else ratio >= share,
        "peer": peer,
        "peer_value": statistics.median(theirs for _, theirs in pairs),
        "ratio": ratio,
        "runs": len(pairs),
    }


def _alone(name: str, values: list[float], unit: str, goal: float) -> Figure:
    value = statistics.median(values)
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "goal": f">= {goal}",
        "reached": value >= goal,
        "runs": len(values),
    }


if __name__ == "__main__":
    import sys

    for figure in figures("--quick" in sys.argv):
        print({key: round(value, 2) if isinstance(value, float) else value for key, value in figure.items()})
