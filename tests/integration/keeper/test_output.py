"""Output is kept: pipes told apart, floods spilled, caps counted, ends exact."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import UsageError

if TYPE_CHECKING:
    from tests.conftest import Run
    from tests.integration.keeper.conftest import Keepers

FLOOD = """
import os, sys
block = b''.join(b'%011d\\n' % number for number in range(1 << 14))
left = int(sys.argv[1])
while left > 0:
    left -= os.write(1, block[:left])
"""
BLOCK = b"".join(b"%011d\n" % number for number in range(1 << 14))


def flood(size: int) -> bytes:
    """What FLOOD prints as long as no write is cut short."""
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


def digest(data: bytes | bytearray) -> str:
    """For comparing what is too long to be shown."""
    return hashlib.sha256(data).hexdigest()


def spilled(directory: str) -> int:
    return sum(path.stat().st_size for path in Path(directory).glob("*.seg"))


def test_standard_error_is_told_apart_in_one_order(keepers: Keepers, run: Run) -> None:
    script = "for n in 1 2 3; do echo out $n; read x; echo err $n >&2; read x; done"

    async def story() -> None:
        async with keepers.born(keepers.certificate("sh", "-c", script, tty=False)) as node:
            reader, transcript = await node.open()
            for number in (b"1", b"2", b"3"):
                for name in (b"out ", b"err "):
                    await node.read_until(reader, transcript, name + number)
                    await node.send(b"\n")
            while transcript.add(await reader.read()):
                pass
            expected = [(tag, b"%s %d\n" % (name, n)) for n in (1, 2, 3) for tag, name in ((0, b"out"), (1, b"err"))]
            assert transcript.runs == expected

    run(story())


def test_end_of_file_on_a_pipe_comes_after_what_was_sent(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("cat", tty=False)) as node:
            data = os.urandom(1 << 20)
            half = len(data) // 2
            sending = asyncio.gather(node.send(data[:half]), node.send(data[half:], eof=True))
            transcript = await node.read_all()
            assert digest(transcript.data) == digest(data)
            await sending
            assert (await node.exit())["exit_code"] == 0

    run(story())


@pytest.mark.parametrize("tty", [True, False])
def test_fifty_megabytes_with_nobody_there_are_all_replayed(keepers: Keepers, run: Run, *, tty: bool) -> None:
    size = 50 << 20

    async def story() -> None:
        script = f"import tty, sys\nif {tty}: tty.setraw(0)\n{FLOOD}"
        certificate = keepers.python(script, tty=tty)
        certificate = certificate._replace(command=[*certificate.command, str(size)])
        async with keepers.midwife() as midwife:
            await midwife.birth(certificate)
        node = await keepers.dial(certificate)
        assert (await node.exit())["exit_code"] == 0
        await node.close()
        assert spilled(certificate.spill_dir) > size - (4 << 20)
        node = await keepers.dial(certificate)
        transcript = await node.read_all()
        assert (transcript.start, transcript.end, transcript.gaps) == (0, size, [])
        assert digest(transcript.data) == digest(flood(size))
        assert spilled(certificate.spill_dir) == 0
        await node.close()

    run(story())


def test_a_cut_in_the_middle_resumes_from_what_was_acknowledged(keepers: Keepers, run: Run) -> None:
    size = 8 << 20

    async def story() -> None:
        certificate = keepers.python(FLOOD, tty=False, ring_bytes=1 << 18, spill_segment_bytes=1 << 20)
        certificate = certificate._replace(command=[*certificate.command, str(size)])
        got = bytearray()
        async with keepers.midwife() as midwife:
            await midwife.birth(certificate)
        while len(got) < size:
            node = await keepers.dial(certificate)
            reader, transcript = await node.open(len(got), manual_ack=True)
            offset, stored = transcript.start, len(got)
            assert offset == stored
            while len(transcript.data) < min(1_000_000, size - stored):
                transcript.add(await reader.read())
                reader.acknowledge(transcript.at)
            got += transcript.data
            node.connection.wire.abort()
            await node.connection.wait_closed()
        assert digest(got) == digest(flood(size))

    run(story())


def test_at_the_cap_the_oldest_goes_and_the_books_balance(keepers: Keepers, run: Run) -> None:
    size = 20 << 20

    async def story() -> None:
        certificate = keepers.python(
            FLOOD, tty=False, on_full="drop-oldest", ring_bytes=1 << 16, spill_bytes_max=1 << 20
        )
        certificate = certificate._replace(command=[*certificate.command, str(size)])
        async with keepers.born(certificate) as node:
            await node.exit()
            hello = await node.output_ended()
            assert hello["total"] == size
            assert hello["head"] == hello["dropped_bytes"] >= size - (1 << 20) - (1 << 16)
            assert spilled(certificate.spill_dir) <= 1 << 20
            transcript = await node.read_all()
            assert transcript.start == hello["head"]
            assert transcript.start + len(transcript.data) == size
            assert digest(transcript.data) == digest(flood(size)[transcript.start :])

    run(story())


def test_what_a_connected_slow_reader_misses_is_a_gap_of_the_exact_size(keepers: Keepers, run: Run) -> None:
    size = 20 << 20

    async def story() -> None:
        # Nothing is printed before the reader is there: what is dropped earlier is before its start, and no gap.
        certificate = keepers.python(
            f"input()\n{FLOOD}", tty=False, on_full="drop-oldest", ring_bytes=1 << 16, spill_bytes_max=1 << 20
        )
        certificate = certificate._replace(command=[*certificate.command, str(size)])
        async with keepers.born(certificate) as node:
            reader, transcript = await node.open(window_bytes=1 << 14)
            await node.send(b"\n")
            await node.exit()
            while transcript.add(await reader.read()):
                pass
            assert transcript.end == size
            assert transcript.gaps
            assert transcript.matches(flood(size))
            # What was dropped after it had been sent is not lost, so the keeper may count more than the reader missed.
            missed = transcript.start + sum(length for _, length in transcript.gaps)
            assert missed + len(transcript.data) == size
            assert missed <= (await node.hello())["dropped_bytes"]

    run(story())


def test_at_the_cap_a_blocking_job_waits_and_loses_nothing(keepers: Keepers, run: Run) -> None:
    size = 5 << 20

    async def story() -> None:
        certificate = keepers.python(FLOOD, tty=False, ring_bytes=1 << 16, spill_bytes_max=1 << 20)
        certificate = certificate._replace(command=[*certificate.command, str(size)])
        async with keepers.born(certificate) as node:
            await keepers.until(lambda: spilled(certificate.spill_dir) == 1 << 20)
            hello = await node.hello()
            assert (hello["exit"], hello["head"]) == (None, 0)
            assert hello["total"] <= (1 << 20) + (1 << 16)
            transcript = await node.read_all()
            assert digest(transcript.data) == digest(flood(size))
            assert (await node.exit())["exit_code"] == 0

    run(story())


def test_a_background_process_that_holds_the_pipe_does_not_keep_the_job_from_ending(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        script = f"sleep 1000 & echo $! > {keepers.directory}/pid; echo said"
        certificate = keepers.certificate("sh", "-c", script, tty=False)
        async with keepers.born(certificate) as node:
            try:
                transcript = await node.read_all()
                assert transcript.data == b"said\n"
                assert (await node.exit())["exit_code"] == 0
            finally:
                os.kill(int((keepers.directory / "pid").read_text()), 9)

    run(story())


def test_an_offset_beyond_the_end_is_a_usage_error(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("cat")) as node:
            beyond, below = {"stream": 1, "from_offset": 5}, {"stream": 1, "from_offset": -1}
            for bad in (beyond, below, {"stream": 1}, {"from_offset": 0}):
                with pytest.raises(UsageError):
                    await node.call("keeper.output", **bad)

    run(story())


def test_a_spill_file_that_cannot_be_read_is_a_gap_and_no_more(keepers: Keepers, run: Run) -> None:
    size = 4 << 20

    async def story() -> None:
        certificate = keepers.python(FLOOD, tty=False, ring_bytes=1 << 16, spill_segment_bytes=1 << 20)
        certificate = certificate._replace(command=[*certificate.command, str(size)])
        async with keepers.born(certificate) as node:
            await node.exit()
        os.truncate(Path(certificate.spill_dir, f"{0:020d}.seg"), 0)
        node = await keepers.dial(certificate)
        reader, transcript = await node.open()
        with pytest.raises(ConnectionError):
            await reader.read()
        await node.connection.wait_closed()
        node = await keepers.dial(certificate)
        transcript = await node.read_all()
        assert transcript.start == 1 << 20
        assert digest(transcript.data) == digest(flood(size)[1 << 20 :])
        await node.close()

    run(story())
