"""Other client processes that listen, and how long what is sent here takes to arrive there."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@asynccontextmanager
async def child(
    role: str, arguments: list[str], *, stdin: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another client process in ``role``; ready when this is entered, ended when it is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.channels_listener", role, *arguments,
        stdin=stdin, stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        assert await line_of(process) == "ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    """Its next line."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def median_arrival_ms(role: str, arguments: list[str], send: Callable[[], Awaitable[None]], count: int) -> float:
    """From the call of ``send`` here to the arrival that another process writes down; one at a time."""
    times = []
    async with child(role, arguments) as process:
        for _ in range(count):
            started = time.monotonic_ns()
            await send()
            times.append(int(await line_of(process)) - started)
    return statistics.median(times) / 1e6
