"""The SDK, async and blocking, against a real node."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import holdfast
from holdfast.testing import NodeBox, wait_until

Run = Callable[[Coroutine[Any, Any, Any]], Any]

COUNT = "import sys\nfor n in range(20000): sys.stdout.write(f'{n}\\n')\nsys.stdout.flush()\n"
ECHO = """
import sys
for line in sys.stdin:
    print('out', line, end='', flush=True)
print('err', file=sys.stderr)
"""
EXPECTED = b"".join(b"%d\n" % number for number in range(20_000))


def test_start_watch_wait(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with holdfast.connect(node_box.url, autostart=False) as node:
            job = await node.jobs.start([sys.executable, "-c", COUNT], name="count")
            offset = 0
            received = bytearray()
            async for chunk in job.output():
                assert chunk.offset == offset
                offset = chunk.end
                received += chunk.data
            assert received == EXPECTED
            info = await job.wait()
            assert (info.exit_code, info.output_bytes) == (0, len(EXPECTED))
            assert [each.id for each in await node.jobs.list()] == [job.id]
            assert (await node.jobs.get("count")).id == job.id
            await job.remove()
            with pytest.raises(holdfast.NotFound):
                await node.jobs.get("count")

    run(main())


def test_blocking_twin(node_box: NodeBox) -> None:
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        job = node.jobs.start([sys.executable, "-c", COUNT], name="count")
        assert b"".join(chunk.data for chunk in job.output()) == EXPECTED
        assert job.wait().exit_code == 0
        assert b"".join(chunk.data for chunk in job.output(-6, follow=False)) == EXPECTED[-6:]
        assert node.info().jobs == 1
        job.remove()
        with pytest.raises(holdfast.NotFound):
            node.jobs.get("count")


def test_input_signals_and_sources(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with holdfast.connect(node_box.url, autostart=False) as node:
            script = ECHO
            job = await node.jobs.start([sys.executable, "-c", script])
            for word in ("one\n", "two\n", "three\n"):
                assert (await job.send(word)).applied
            await job.send(b"", eof=True)
            chunks = [chunk async for chunk in job.output()]
            assert b"".join(c.data for c in chunks if c.source == "stdout") == b"out one\nout two\nout three\n"
            assert b"".join(c.data for c in chunks if c.source == "stderr") == b"err\n"
            sleeper = await node.jobs.start(["sleep", "1000"])
            await sleeper.signal(signal.SIGTERM)
            info = await sleeper.wait()
            assert (info.exit_signal, info.done_reason) == (signal.SIGTERM, "exited")

    run(main())


def test_a_list_of_jobs_is_whole_however_long_it_is(node_box: NodeBox, run: Run) -> None:
    """Longer than a frame can be: it comes in pages."""
    words = ["x" * 100_000] * 3
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        ids = [node.jobs.start(["true", *words]).id for _ in range(5)]
        assert [job.id for job in node.jobs.list()] == ids

    async def main() -> None:
        async with holdfast.connect(node_box.url, autostart=False) as node:
            assert [job.id for job in await node.jobs.list()] == ids

    run(main())
    assert node_box.run("ps", "-q").stdout.decode().split() == ids


def test_a_terminal_has_the_size_it_was_given(node_box: NodeBox) -> None:
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        script = "stty size; read line; stty size"
        job = node.jobs.start(["sh", "-c", script], tty=True, rows=30, columns=100)
        output = job.output()
        first = output.read()
        assert first is not None
        assert first.data.split() == [b"30", b"100"]
        job.resize(50, 132)
        job.send("\r")
        job.wait()
        assert b"50 132" in b"".join(chunk.data for chunk in output)
        with pytest.raises(holdfast.UsageError, match="rows: 0"):
            job.resize(0, 1)


def test_iteration_survives_the_death_of_the_node(node_box: NodeBox, run: Run) -> None:
    slow = "import sys, time\nfor n in range(2000):\n  print(n, flush=True)\n  time.sleep(0.001)"

    async def main() -> None:
        async with holdfast.connect(node_box.url, autostart=False) as node:
            job = await node.jobs.start([sys.executable, "-c", slow])
            received = bytearray()
            killed = False
            async for chunk in job.output():
                received += chunk.data
                if len(received) > 500 and not killed:
                    killed = True
                    await asyncio.to_thread(node_box.kill_node)
                    await asyncio.to_thread(node_box.start_node)
            assert received == b"".join(b"%d\n" % n for n in range(2000))
            assert killed
            assert (await job.wait()).gap_bytes == 0

    run(main())


def test_the_blocking_iteration_survives_it_too(node_box: NodeBox) -> None:
    slow = "import sys, time\nfor n in range(1000):\n  print(n, flush=True)\n  time.sleep(0.001)"
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        job = node.jobs.start([sys.executable, "-c", slow])
        received = bytearray()
        killed = False
        for chunk in job.output():
            received += chunk.data
            if len(received) > 500 and not killed:
                killed = True
                node_box.kill_node()
                node_box.start_node()
        assert received == b"".join(b"%d\n" % n for n in range(1000))
        assert job.wait().exit_code == 0


def test_a_cancelled_step_loses_nothing(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with holdfast.connect(node_box.url, autostart=False) as node:
            job = await node.jobs.start(["cat"])
            output = job.output()
            received = bytearray()
            for number in range(50):
                waiting = asyncio.ensure_future(anext(output))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                if waiting.cancel() or not waiting.done():
                    await asyncio.wait([waiting])
                if not waiting.cancelled():
                    received += waiting.result().data
                await job.send(b"%d " % number)
            await job.send(b"", eof=True)
            async for chunk in output:
                received += chunk.data
            assert received == b"".join(b"%d " % number for number in range(50))

    run(main())


def test_errors_are_typed(node_box: NodeBox) -> None:
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        with pytest.raises(holdfast.CommandNotFound) as caught:
            node.jobs.start(["/nosuch/command"])
        assert caught.value.command == "/nosuch/command"
        with pytest.raises(holdfast.UsageError, match="command"):
            node.jobs.start("echo hi")
        with pytest.raises(holdfast.UsageError) as field:
            node.jobs.start(["true"], name="-bad")
        assert field.value.field == "spec.name"
        job = node.jobs.start(["true"], name="x")
        with pytest.raises(holdfast.AlreadyExists) as taken:
            node.jobs.start(["true"], name="x")
        assert taken.value.holder == job.id
        job.wait()
        with pytest.raises(holdfast.Conflict):
            job.send("late")
        with pytest.raises(holdfast.UsageError, match="beyond the tail"):
            list(job.output(10))
        with pytest.raises(holdfast.DeadlineExceeded):
            node.jobs.start(["sleep", "1000"]).wait(0.01)


def test_nobody_there(box: NodeBox, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(holdfast.Unavailable):
            async with holdfast.connect(box.url, autostart=False):
                pass

    run(main())
    with pytest.raises(holdfast.Unavailable), holdfast.connect_sync(box.url, autostart=False):
        pass


@pytest.mark.parametrize("command", [["yes"], ["sleep", "1000"]], ids=["flood", "quiet"])
def test_a_loop_over_output_that_is_left_watches_no_more(node_box: NodeBox, run: Run, command: list[str]) -> None:
    async def watch(job: holdfast.Job) -> None:
        async for _ in job.output():
            pass

    async def main() -> None:
        async with holdfast.connect(node_box.url, autostart=False) as node:
            job = await node.jobs.start(command, name="x")
            watching = asyncio.create_task(watch(job))
            while (await job.refresh()).viewers == 0:
                await asyncio.sleep(0)
            watching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await watching
            while (await job.refresh()).viewers:
                await asyncio.sleep(0)

    run(main())


def test_a_blocking_loop_over_output_that_is_left_watches_no_more(node_box: NodeBox) -> None:
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        job = node.jobs.start(["yes"])
        for _ in job.output():
            break
        wait_until(lambda: job.refresh().viewers == 0, "the node saw it leave")
