"""Jobs end to end: throughput through a durable log, latency beside a replay, starts, and whole commands."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holdfast
from holdfast.testing import NodeBox

Figure = dict[str, Any]

MIB = 1024 * 1024


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer pairs."""
    pairs = 3 if quick else 5
    size = (20 if quick else 200) * MIB
    with NodeBox.temporary() as box, tempfile.TemporaryDirectory() as name:
        box.start_node()
        file = make_text(Path(name) / "text", size)
        return [
            *terminal(box, file, size, pairs),
            pipes(box, file, size, pairs),
            keystroke(box, (64 if quick else 1024) * MIB),
            *starts(box, pairs * 4),
            *whole_commands(box, pairs * 3),
        ]


def make_text(path: Path, size: int) -> Path:
    """Lines of text, so that the terminal's newline translation has its usual work."""
    line = b"0123456789abcdef" * 4 + b"\n"
    path.write_bytes(line * (size // len(line)))
    return path


# throughput


def terminal(box: NodeBox, file: Path, size: int, pairs: int) -> list[Figure]:
    """``cat`` of a file on a terminal, to an attached client, against a bare PTY loop and tmux with a client."""
    bare, ours, tmux = [], [], []
    for _ in range(pairs):
        bare.append(size / bare_pty(file) / MIB)
        ours.append(size / through_holdfast(box, file, tty_=True) / MIB)
        if shutil.which("tmux"):
            tmux.append(size / through_tmux(file) / MIB)
    return [
        ratio_figure("terminal: cat to an attached client, durable, vs a bare PTY loop", ours, bare, 0.8),
        ratio_figure("terminal: cat to an attached client, durable, vs tmux with a client", ours, tmux, 2.0),
    ]


def pipes(box: NodeBox, file: Path, size: int, pairs: int) -> Figure:
    """The same through pipes; the goal is absolute, the peer a bare pipe."""
    bare, ours = [], []
    for _ in range(pairs):
        bare.append(size / bare_pipe(file) / MIB)
        ours.append(size / through_holdfast(box, file, tty_=False) / MIB)
    value, peer = statistics.median(ours), statistics.median(bare)
    return {
        "name": "pipes: cat to an attached client, durable",
        "value": round(value, 1),
        "unit": "MB/s",
        "goal": 200,
        "reached": value >= 200,
        "peer": "bare pipe",
        "peer_value": round(peer, 1),
        "ratio": round(value / peer, 3),
        "runs": pairs,
    }


def ratio_figure(name: str, ours: list[float], peers: list[float], goal: float) -> Figure:
    """The median of the ratios, pair by pair."""
    if not peers:
        return {"name": name, "value": None, "unit": "x", "goal": goal, "reached": None, "note": "peer not installed"}
    ratio = statistics.median(a / b for a, b in zip(ours, peers, strict=True))
    return {
        "name": name,
        "value": round(statistics.median(ours), 1),
        "unit": "MB/s",
        "goal": f">= {goal} x peer",
        "reached": ratio >= goal,
        "peer": name.rpartition(" vs ")[2],
        "peer_value": round(statistics.median(peers), 1),
        "ratio": round(ratio, 3),
        "runs": len(ours),
    }


def bare_pty(file: Path) -> float:
    """Seconds to read ``cat FILE`` from a PTY and do nothing with it."""
    started = time.perf_counter()
    pid, master = pty.fork()
    if pid == 0:
        tty.setraw(1)
        os.execvp("cat", ["cat", str(file)])
    try:
        while os.read(master, 65_536):
            pass
    except OSError:
        pass  # Linux reports the end of a terminal as an error
    os.close(master)
    os.waitpid(pid, 0)
    return time.perf_counter() - started


def bare_pipe(file: Path) -> float:
    """Seconds to read ``cat FILE`` from a pipe and do nothing with it."""
    started = time.perf_counter()
    with subprocess.Popen(["cat", str(file)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while os.read(child.stdout.fileno(), 65_536):
            pass
    return time.perf_counter() - started


def through_holdfast(box: NodeBox, file: Path, *, tty_: bool) -> float:
    """Seconds from the start of a job that prints the file to the last byte at an attached client."""
    command = ["sh", "-c", f"stty raw; exec cat {file}"] if tty_ else ["cat", str(file)]
    with holdfast.connect_sync(box.url, autostart=False) as node:
        started = time.perf_counter()
        job = node.jobs.start(command, tty=tty_)
        received = sum(len(chunk.data) for chunk in job.output())
        took = time.perf_counter() - started
        assert received == file.stat().st_size, (received, file.stat().st_size)
        job.wait()
        job.remove()
    return took


def through_tmux(file: Path) -> float:
    """Seconds until a tmux client in a terminal of ours has shown the end of the file."""
    with tempfile.TemporaryDirectory() as name:
        socket = f"{name}/tmux"
        done = f"{name}/done"
        started = time.perf_counter()
        pid, master = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm"
            os.execvp("tmux", ["tmux", "-S", socket, "-f", "/dev/null", "new", f"cat {file}; touch {done}; sleep 0.05"])
        try:
            while os.read(master, 65_536):
                pass
        except OSError:
            pass
        os.close(master)
        os.waitpid(pid, 0)
        assert os.path.exists(done)
    return time.perf_counter() - started - 0.05


# latency


def keystroke(box: NodeBox, size: int) -> Figure:
    """Echo of one key, in a small job, while another viewer replays a large output from the same node."""
    times = asyncio.run(_keystrokes(box.url, size))
    p99 = statistics.quantiles(times, n=100)[98] * 1000
    return {
        "name": "keystroke echo while a large replay runs, p99",
        "value": round(p99, 2),
        "unit": "ms",
        "goal": "<= 20",
        "reached": p99 <= 20,
        "peer": "p50",
        "peer_value": round(statistics.median(times) * 1000, 2),
        "ratio": None,
        "runs": len(times),
        "note": f"replay of {size // MIB} MiB",
    }


async def _keystrokes(url: str, size: int) -> list[float]:
    async with holdfast.connect(url, autostart=False) as node, holdfast.connect(url, autostart=False) as other:
        big = await node.jobs.start(["head", "-c", str(size), "/dev/zero"])
        await big.wait()
        echo = await node.jobs.start(["cat"], tty=True)
        output = echo.output()
        replay = asyncio.create_task(_replay(other, big.id))
        times = []
        while not replay.done():
            started = time.perf_counter()
            await echo.send("x")
            await anext(output)
            times.append(time.perf_counter() - started)
        await replay
        await output.aclose()
        for job in (big, echo):
            await job.remove(force=True)
    return times


async def _replay(node: holdfast.Node, job_id: str) -> None:
    job = await node.jobs.get(job_id)
    async for _ in job.output(follow=False):
        pass


# starts


def starts(box: NodeBox, runs: int) -> list[Figure]:
    """A job's start on a warm node, and the first byte of an attach, against tmux doing the same."""
    with holdfast.connect_sync(box.url, autostart=False) as node:
        ours_start = median_ms(lambda: _start_and_keep(node), runs)
        job = node.jobs.start(["sh", "-c", "echo ready; exec sleep 1000"])
        next(iter(job.output()))
        ours_attach = median_ms(lambda: _first_byte(node, job.id), runs)
        for each in node.jobs.list():
            each.remove(force=True)
    tmux_start, tmux_attach = tmux_times(runs) if shutil.which("tmux") else (None, None)
    return [
        against("start a job on a warm node (SDK)", ours_start, tmux_start, runs),
        against("attach to first byte (SDK)", ours_attach, tmux_attach, runs),
    ]


def against(name: str, ours: float, peer: float | None, runs: int) -> Figure:
    """A time that should not be longer than tmux's."""
    return {
        "name": name,
        "value": round(ours, 2),
        "unit": "ms",
        "goal": "<= tmux",
        "reached": None if peer is None else ours <= peer,
        "peer": "tmux",
        "peer_value": None if peer is None else round(peer, 2),
        "ratio": None if peer is None else round(ours / peer, 3),
        "runs": runs,
    }


def median_ms(act: Callable[[], object], runs: int) -> float:
    """Median milliseconds of ``act()``."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def _start_and_keep(node: holdfast.SyncNode) -> None:
    node.jobs.start(["sleep", "1000"])


def _first_byte(node: holdfast.SyncNode, job_id: str) -> None:
    output = node.jobs.get(job_id).output()
    assert output.read() is not None
    output.close()


def tmux_times(runs: int) -> tuple[float, float]:
    """Milliseconds for ``tmux new -d`` on a warm server, and for ``tmux attach`` to paint its first byte."""
    with tempfile.TemporaryDirectory() as name:
        tmux = ["tmux", "-S", f"{name}/tmux", "-f", "/dev/null"]
        subprocess.run([*tmux, "new", "-d", "sleep", "1000"], check=True)
        try:
            start = median_ms(lambda: subprocess.run([*tmux, "new", "-d", "sleep", "1000"], check=True), runs)
            attach = median_ms(lambda: _tmux_first_byte(tmux), runs)
        finally:
            subprocess.run([*tmux, "kill-server"], check=True)
    return start, attach


def _tmux_first_byte(tmux: list[str]) -> None:
    pid, master = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execvp("tmux", [*tmux, "attach"])
    select.select([master], [], [])
    os.read(master, 1)
    os.close(master)
    os.waitpid(pid, 0)


# whole commands


def whole_commands(box: NodeBox, runs: int) -> list[Figure]:
    """``holdfast run -d true`` and ``holdfast ps`` as processes, beside a bare interpreter."""
    bare = median_ms(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), runs)
    found = []
    for arguments in (["run", "-d", "--", "true"], ["ps"]):
        value = median_ms(lambda arguments=arguments: box_command(box, arguments), runs)  # type: ignore[misc]
        found.append(
            {
                "name": f"holdfast {' '.join(arguments)}, whole process",
                "value": round(value, 1),
                "unit": "ms",
                "goal": "<= 60",
                "reached": value <= 60,
                "peer": "bare interpreter",
                "peer_value": round(bare, 1),
                "ratio": round(value / bare, 2),
                "runs": runs,
            }
        )
    return found


def box_command(box: NodeBox, arguments: list[str]) -> None:
    """One installed command, its output thrown away."""
    script = shutil.which("holdfast", path=os.path.dirname(sys.executable))
    assert script is not None, "bench needs the installed holdfast command"
    subprocess.run([script, *arguments], env=box.env, check=True, stdout=subprocess.DEVNULL)
