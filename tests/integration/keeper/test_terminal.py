"""Commands with a terminal: keys, end-of-file, size, signals, pastes."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import Conflict, LimitExceeded, UsageError

if TYPE_CHECKING:
    from tests.conftest import Run
    from tests.integration.keeper.conftest import Keepers, NodeEnd

RAW_ECHO = "import os, tty; tty.setraw(0); os.write(1, b'ready;')\nwhile d := os.read(0, 65536):\n    os.write(1, d)"


def spilled(directory: str) -> int:
    return sum(path.stat().st_size for path in Path(directory).glob("*.seg"))


def test_what_is_typed_is_echoed(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("cat")) as node:
            reader, transcript = await node.open()
            assert await node.send(b"hello\n") == {"applied": True, "queued_bytes": 0}
            await node.read_until(reader, transcript, b"hello\r\nhello\r\n")

    run(story())


@pytest.mark.parametrize(("typed", "expected"), [(b"", b""), (b"line\n", b"line\n"), (b"partial", b"partial")])
def test_end_of_file_ends_a_terminals_input_wherever_the_line_stands(
    keepers: Keepers, run: Run, typed: bytes, expected: bytes
) -> None:
    async def story() -> None:
        script = f"stty -echo; echo ready; exec cat > {keepers.directory}/got"
        async with keepers.born(keepers.certificate("sh", "-c", script)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready")
            await node.send(typed, eof=True)
            assert (await node.exit())["exit_code"] == 0
            assert (keepers.directory / "got").read_bytes() == expected

    run(story())


def test_a_command_that_lets_its_terminal_go_lives_on_and_may_come_back_to_it(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        script = "echo here; exec <&- >&- 2>&-; sleep 0.2; echo back >/dev/tty; exit 3"
        async with keepers.born(keepers.certificate("sh", "-c", script)) as node:
            assert (await node.read_all()).data == b"here\r\nback\r\n"
            assert (await node.exit())["exit_code"] == 3

    run(story())


def test_end_of_file_does_not_end_the_terminal(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("sh", "-c", "cat; cat; echo both")) as node:
            await node.send(b"a", eof=True)
            await node.send(b"b\n", eof=True)
            assert b"both" in (await node.read_all()).data

    run(story())


def test_a_resize_reaches_the_command(keepers: Keepers, run: Run) -> None:
    script = """
import os, signal, sys, time
def changed(*_):
    print('now', *os.get_terminal_size(), flush=True)
signal.signal(signal.SIGWINCH, changed)
print('first', *os.get_terminal_size(), flush=True)
sys.stdin.readline()
"""

    async def story() -> None:
        async with keepers.born(keepers.python(script, rows=30, columns=100)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"first 100 30")
            assert await node.call("keeper.resize", rows=50, columns=132) == {}
            await node.read_until(reader, transcript, b"now 132 50")
            for bad in ({"rows": 0, "columns": 80}, {"rows": 24}, {"rows": 24, "columns": 70_000}):
                with pytest.raises(UsageError):
                    await node.call("keeper.resize", **bad)

    run(story())


def test_an_interrupt_reaches_the_foreground_and_spares_the_rest(keepers: Keepers, run: Run) -> None:
    script = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if not child:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    print('ready', flush=True)
    time.sleep(1000)
print('child ended by', -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

    async def story() -> None:
        async with keepers.born(keepers.python(script)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready")
            await node.call("keeper.signal", signal="INT")
            await node.read_until(reader, transcript, b"child ended by 2")
            assert (await node.exit())["exit_code"] == 0

    run(story())


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "usr1", int(signal.SIGUSR1)])
def test_signals_by_name_or_number(keepers: Keepers, run: Run, name: str | int) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("sleep", "1000")) as node:
            assert await node.call("keeper.signal", signal=name) == {}
            assert (await node.exit())["exit_signal"] == signal.SIGUSR1
            with pytest.raises(Conflict):
                await node.call("keeper.signal", signal=name)

    run(story())


@pytest.mark.parametrize("name", ["NOPE", "", 0, 1000, None, True, "SIG_DFL"])
def test_what_is_no_signal_is_refused(keepers: Keepers, run: Run, name: object) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("cat")) as node:
            with pytest.raises(UsageError) as caught:
                await node.call("keeper.signal", signal=name)
            assert caught.value.field == "signal"

    run(story())


def test_a_flood_stops_at_an_interrupt(keepers: Keepers, run: Run) -> None:
    """Nobody reads and the ring is small: the loop is at its busiest, and still hears."""

    async def story() -> None:
        certificate = keepers.certificate("yes", ring_bytes=1 << 16, spill_bytes_max=1 << 20, on_full="drop-oldest")
        async with keepers.born(certificate) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, 4 << 20)
            await node.call("keeper.signal", signal="INT")
            assert (await node.exit())["exit_signal"] == signal.SIGINT

    run(story())


def test_ten_megabytes_pasted_into_an_echoing_command_come_back(keepers: Keepers, run: Run) -> None:
    line = b"0123456789abcdef" * 63 + b"\n"
    count = 10 * (1 << 20) // len(line)

    async def paste(node: NodeEnd) -> None:
        batch = line * 64
        sent = 0
        while sent < count:
            lines = min(64, count - sent)
            try:
                await node.send(batch[: lines * len(line)])
            except LimitExceeded as error:
                assert error.name in ("input_bytes_max", "input_items_max")
                await asyncio.sleep(0.01)
            else:
                sent += lines

    async def story() -> None:
        got = keepers.directory / "got"
        certificate = keepers.certificate(
            "tee", str(got), input_bytes_max=1 << 18, ring_bytes=1 << 16, spill_bytes_max=1 << 20
        )
        async with keepers.born(certificate) as node:
            # First without a reader: echo and output fill everything, input must be refused, nothing may hang.
            pasting = asyncio.ensure_future(paste(node))
            await keepers.until(lambda: spilled(certificate.spill_dir) == 1 << 20)
            await node.hello()
            reader, transcript = await node.open()
            reading = asyncio.ensure_future(node.read_until(reader, transcript, b"the very end\r\n"))
            await pasting
            await node.send(b"the very end\n")
            await reading
            await keepers.until(lambda: got.stat().st_size == count * len(line) + 13)
            # The command got every byte.  How much of the echo is shown is up to the kernel, which drops some of it
            # while a terminal's output is held up.
            assert got.read_bytes().count(line) == count
            peak = Path(f"/proc/{keepers.receipt(certificate).keeper_pid}/status").read_text()
            peak_kib = int(peak.partition("VmHWM:")[2].split()[0])
            assert peak_kib < 32 * 1024

    run(story())


def test_raw_bytes_pass_unchanged_both_ways(keepers: Keepers, run: Run) -> None:
    data = bytes(range(256)) * 1024

    async def story() -> None:
        async with keepers.born(keepers.python(RAW_ECHO)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready;")
            sending = asyncio.ensure_future(node.send(data))
            await node.read_until(reader, transcript, 6 + len(data))
            await sending
            assert hashlib.sha256(transcript.data[6:]).digest() == hashlib.sha256(data).digest()

    run(story())


def test_sessions_are_put_in_order_and_do_not_interleave(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.python(RAW_ECHO, input_hold_s=1000.0)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready;")
            later = [
                asyncio.ensure_future(node.send(b"a%d," % number, session="a", sequence=number)) for number in (3, 2)
            ]
            await node.send(b"b1,", session="b", sequence=1)
            await node.send(b"now,")
            await node.send(b"a1,", session="a", sequence=1)
            await node.send(b"a1 again,", session="a", sequence=1)
            for receipt in await asyncio.gather(*later):
                assert receipt["applied"]
            await node.read_until(reader, transcript, b"again,")
            assert transcript.data == b"ready;b1,now,a1,a2,a3,a1 again,"

    run(story())


def test_a_signal_in_a_session_keeps_its_place(keepers: Keepers, run: Run) -> None:
    script = """
import os, signal, tty
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'<signal>'))
tty.setraw(0)
os.write(1, b'ready;')
while d := os.read(0, 65536):
    os.write(1, d)
"""

    async def story() -> None:
        async with keepers.born(keepers.python(script, input_hold_s=1000.0)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready;")
            held = asyncio.ensure_future(node.call("keeper.signal", signal="USR1", session="s", sequence=2))
            await node.send(b"unordered")
            await node.read_until(reader, transcript, b"unordered")
            await node.send(b"x", session="s", sequence=1)
            await held
            await node.read_until(reader, transcript, b"<signal>")

    run(story())


def test_input_that_is_not_read_is_queued_then_refused_by_name(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sleep", "1000", tty=False, input_items_max=3, input_bytes_max=1 << 20)
        async with keepers.born(certificate) as node:
            receipt = await node.send(bytes(500_000))
            assert receipt == {"applied": False, "queued_bytes": 500_000}
            with pytest.raises(LimitExceeded) as caught:
                await node.send(bytes(600_000))
            assert caught.value.name == "input_bytes_max"
            await node.send(b"x")
            await node.send(b"y")
            with pytest.raises(LimitExceeded) as caught:
                await node.send(b"z")
            assert caught.value.name == "input_items_max"
            await node.call("keeper.signal", signal="KILL")
            await node.exit()
            with pytest.raises(Conflict):
                await node.send(b"late")

    run(story())


def test_those_who_wait_hear_that_the_command_is_gone(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("cat", input_hold_s=1000.0)) as node:
            held = asyncio.ensure_future(node.send(b"x", session="s", sequence=9))
            await node.hello()
            await node.call("keeper.signal", signal="KILL")
            with pytest.raises(Conflict):
                await held

    run(story())
