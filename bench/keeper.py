"""Keepers by themselves: memory when idle, births, and how fast output passes through one, acknowledged and dropped."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from bench.jobs import bare_pipe, bare_pty, make_text
from holdfast.jobs.birth import Midwife
from holdfast.jobs.keeper.certificate import Certificate
from holdfast.jobs.keeper.records import BirthReceipt
from holdfast.procinfo import process_alive
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.handshake.job_link import JobLinkNode
from holdfast.streams import End

Figure = dict[str, Any]

MIB = 1024 * 1024
SECRET = bytes(32)
BARE = "import sys; sys.stdout.write('up'); sys.stdout.flush(); sys.stdin.read()"


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses fewer jobs and less data."""
    return uvloop.run(_measure_all(quick=quick))


async def _measure_all(*, quick: bool) -> list[Figure]:
    pairs = 3 if quick else 7
    with tempfile.TemporaryDirectory() as name:
        file = make_text(Path(name) / "text", (20 if quick else 200) * MIB)
        return [
            *await memory(20 if quick else 100),
            *await births(20 if quick else 200),
            await throughput("terminal: cat through a keeper", file, pairs, bare_pty, 0.8, tty=True),
            await throughput("pipes: cat through a keeper", file, pairs, bare_pipe, 400.0, tty=False),
            await interrupt(pairs),
        ]


class Nursery:
    """Keepers for one measurement, ended with it by pid."""

    def __init__(self, midwife: Midwife, directory: Path) -> None:
        self.midwife = midwife
        self.receipts: list[BirthReceipt] = []
        self._directory = directory

    def certificate(self, *command: str, tty: bool) -> Certificate:
        """A certificate for ``command``."""
        job = f"j{len(os.listdir(self._directory))}"
        place = str(self._directory / job)
        return Certificate(
            job=job,
            secret=SECRET,
            command=list(command),
            runtime_dir=place,
            spill_dir=place + ".spill",
            env={"PATH": os.environ["PATH"]},
            tty=tty,
        )

    async def birth(self, certificate: Certificate) -> BirthReceipt:
        """Have it born."""
        receipt = await self.midwife.birth(certificate)
        self.receipts.append(receipt)
        return receipt

    async def dial(self, certificate: Certificate) -> AsyncConnection:
        """The node's end."""
        authenticator = JobLinkNode(certificate.job, SECRET, os.urandom)
        return await dial_unix(f"{certificate.runtime_dir}/keeper.sock", authenticator)

    def end(self) -> None:
        """Kill what is left."""
        for receipt in self.receipts:
            if process_alive(receipt.keeper_pid, receipt.keeper_started):
                os.kill(receipt.keeper_pid, signal.SIGKILL)
            if process_alive(receipt.pid, receipt.pid_started):
                os.kill(receipt.pid, signal.SIGKILL)


@asynccontextmanager
async def nursery(*, warm: bool = True) -> AsyncIterator[Nursery]:
    directory = Path(tempfile.mkdtemp(prefix="hfb-", dir="/tmp"))
    midwife = Midwife(warm=warm)
    await midwife.start()
    made = Nursery(midwife, directory)
    try:
        yield made
    finally:
        made.end()
        await midwife.stop()
        shutil.rmtree(directory, ignore_errors=True)


# memory


async def memory(count: int) -> list[Figure]:
    """Resident and private memory of idle keepers, each dialled once, against a bare interpreter."""
    async with nursery() as made:
        for _ in range(count):
            certificate = made.certificate("sleep", "1000", tty=True)
            await made.birth(certificate)
            connection = await made.dial(certificate)
            await connection.call("keeper.hello", {})
            connection.close()
            await connection.wait_closed()
        ours = [_memory_of(receipt.keeper_pid) for receipt in made.receipts]
    bare = _bare_memory()
    return [
        _memory_figure(f"resident memory of a keeper, {count} idle jobs", 12.0, [one[0] for one in ours], bare[0]),
        _memory_figure(f"private memory of a keeper, {count} idle jobs", 4.0, [one[1] for one in ours], bare[1]),
    ]


def _memory_of(pid: int) -> tuple[float, float]:
    """Resident and private megabytes."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) / 1024
    return fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"]


def _bare_memory() -> tuple[float, float]:
    """Of one of several bare interpreters, so that what they share counts as shared."""
    command = [sys.executable, "-I", "-S", "-c", BARE]
    group = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(5)]
    for process in group:
        assert process.stdout is not None
        process.stdout.read(2)
    found = [_memory_of(process.pid) for process in group]
    for process in group:
        process.communicate()
    return statistics.median(one[0] for one in found), statistics.median(one[1] for one in found)


def _memory_figure(name: str, goal: float, values: list[float], bare: float) -> Figure:
    worst = max(values)
    return {
        "name": name,
        "value": round(statistics.median(values), 2),
        "unit": "MB",
        "goal": f"<= {goal:g}",
        "reached": worst <= goal,
        "peer": "a bare interpreter",
        "peer_value": round(bare, 2),
        "runs": len(values),
        "note": f"the largest: {worst:.2f}",
    }


# births


async def births(count: int) -> list[Figure]:
    """From asking for a keeper to its command running, warm and cold, against running the command plainly."""
    plain = [_timed_plain() for _ in range(count)]
    found = []
    for warm, goal, runs in ((True, None, count), (False, None, max(5, count // 10))):
        async with nursery(warm=warm) as made:
            await made.birth(made.certificate("true", tty=True))
            times = [await _timed(lambda: made.birth(made.certificate("true", tty=True))) for _ in range(runs)]
        found.append(
            {
                "name": f"birth of a keeper and its command, {'from the zygote' if warm else 'without a zygote'}",
                "value": round(statistics.median(times) * 1000, 2),
                "unit": "ms",
                "goal": goal,
                "reached": None,
                "peer": "subprocess.Popen of the command",
                "peer_value": round(statistics.median(plain) * 1000, 2),
                "runs": runs,
            }
        )
    return found


async def _timed(act: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


def _timed_plain() -> float:
    began = time.perf_counter()
    process = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
    took = time.perf_counter() - began
    process.wait()
    return took


# throughput


async def throughput(
    name: str, file: Path, pairs: int, bare: Callable[[Path], float], goal: float, *, tty: bool
) -> Figure:
    """``cat`` of a file to a reader that acknowledges all at once, in turn with a bare loop."""
    size = os.stat(file).st_size / MIB
    ours, theirs = [], []
    for _ in range(pairs):
        theirs.append(size / bare(file))
        ours.append(size / await _through_keeper(file, tty=tty))
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    value = statistics.median(ours)
    return {
        "name": name,
        "value": round(value, 1),
        "unit": "MB/s",
        "goal": f">= {goal:g} x peer" if tty else goal,
        "reached": ratio >= goal if tty else value >= goal,
        "peer": f"a bare {'terminal' if tty else 'pipe'} loop",
        "peer_value": round(statistics.median(theirs), 1),
        "ratio": round(ratio, 3),
        "runs": pairs,
    }


async def _through_keeper(file: Path, *, tty: bool) -> float:
    """Seconds from the command's go to the end of its output."""
    async with nursery() as made:
        script = f"{'stty raw -echo;' if tty else ''} read x; exec cat {file}"
        certificate = made.certificate("sh", "-c", script, tty=tty)
        await made.birth(certificate)
        connection = await made.dial(certificate)
        reader = connection.open_reader(window_bytes=2 * MIB, start_offset=0)
        await connection.call("keeper.output", {"stream": reader.stream_id, "from_offset": 0})
        reader.start()
        began = time.perf_counter()
        await connection.call("keeper.input", {}, b"\n")
        while not isinstance(await reader.read(MIB), End):
            pass
        took = time.perf_counter() - began
        connection.close()
        await connection.wait_closed()
    return took


async def interrupt(runs: int) -> Figure:
    """From asking for SIGINT to knowing that ``yes`` died of it, while it floods its terminal."""
    times = []
    for _ in range(runs):
        async with nursery() as made:
            certificate = made.certificate("yes", tty=True)
            await made.birth(certificate)
            connection = await made.dial(certificate)
            reader = connection.open_reader(window_bytes=2 * MIB, start_offset=0)
            await connection.call("keeper.output", {"stream": reader.stream_id, "from_offset": 0})
            reader.start()
            got = 0
            while got < 16 * MIB:
                got += len((await reader.read(MIB)).data)  # type: ignore[union-attr]
            began = time.perf_counter()
            await connection.call("keeper.signal", {"signal": "INT"})
            while (await connection.call("keeper.hello", {})).result["exit"] is None:
                pass
            times.append(time.perf_counter() - began)
            connection.close()
            await connection.wait_closed()
    value = statistics.median(times) * 1000
    return {
        "name": "an interrupt acts while yes floods",
        "value": round(value, 2),
        "unit": "ms",
        "goal": "<= 200",
        "reached": max(times) <= 0.2,
        "runs": runs,
    }
