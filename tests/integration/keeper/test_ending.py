"""How jobs and their keepers end: asked, forced, released, or forgotten."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import Conflict
from holdfast.jobs.keeper.records import read_final
from holdfast.jobs.keeper.segments import read_segments
from holdfast.testing import wait_until

if TYPE_CHECKING:
    from tests.conftest import Run
    from tests.integration.keeper.conftest import Keepers

DEAF = "trap '' TERM HUP; echo ready; while :; do sleep 0.05; done"


def test_terminate_asks_first(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
        async with keepers.born(keepers.certificate("sh", "-c", script)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready")
            assert await node.call("keeper.terminate", grace_s=1000) == {}
            record = await node.exit()
            assert (record["exit_code"], record["reason"]) == (3, "terminated")
            while transcript.add(await reader.read()):
                pass
            assert b"bye" in transcript.data

    run(story())


@pytest.mark.parametrize("tty", [True, False])
def test_who_does_not_listen_is_killed(keepers: Keepers, run: Run, *, tty: bool) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("sh", "-c", DEAF, tty=tty)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready")
            await node.call("keeper.terminate", grace_s=0.05)
            record = await node.exit()
            assert (record["exit_signal"], record["reason"]) == (signal.SIGKILL, "terminated")
            while transcript.add(await reader.read()):
                pass

    run(story())


def test_the_whole_group_goes(keepers: Keepers, run: Run) -> None:
    """The shell dies of TERM at once; its deaf child, which holds the output, is killed with the group."""

    async def story() -> None:
        script = f'sh -c "{DEAF}" & echo $! > {keepers.directory}/pid; wait'
        async with keepers.born(keepers.certificate("sh", "-c", script, tty=False)) as node:
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready")
            child = int((keepers.directory / "pid").read_text())
            await node.call("keeper.terminate", grace_s=0.05)
            assert (await node.exit())["exit_signal"] == signal.SIGTERM
            while transcript.add(await reader.read()):
                pass
            await keepers.until(lambda: not keepers.process_alive(child, 0.0))

    run(story())


def test_a_stopped_command_can_be_ended(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("sleep", "1000")) as node:
            await node.call("keeper.signal", signal="STOP")
            await node.call("keeper.terminate", grace_s=1000)
            assert (await node.exit())["exit_signal"] == signal.SIGTERM

    run(story())


def test_release_leaves_nothing(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", "read x; echo done; exit 5", tty=False)
        async with keepers.born(certificate) as node:
            receipt = keepers.receipt(certificate)
            with pytest.raises(Conflict, match="runs"):
                await node.call("keeper.release")
            await node.send(b"\n")
            assert (await node.exit())["exit_code"] == 5
            await node.output_ended()
            with pytest.raises(Conflict, match="acknowledged"):
                await node.call("keeper.release")
            transcript = await node.read_all()
            assert transcript.data == b"done\n"
            assert await node.call("keeper.release") == {}
            await node.connection.wait_closed()
            await keepers.gone(receipt)
            assert os.listdir(keepers.directory) == []

    run(story())


def test_an_ended_job_waits_for_a_node_to_come_back(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", "echo done; exit 5", tty=False)
        async with keepers.born(certificate) as node:
            assert (await node.read_all()).data == b"done\n"
            assert (await node.exit())["exit_code"] == 5
        node = await keepers.dial(certificate)
        hello = await node.hello()
        assert (hello["exit"]["exit_code"], hello["total"], hello["head"]) == (5, 5, 5)
        assert (await node.read_all(5)).end == 5
        await node.call("keeper.release")
        await node.close()

    run(story())


def test_forgotten_for_too_long_it_leaves_all_on_disk(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        script = "echo out; read x; echo err >&2; read x; head -c 300000 /dev/zero; exit 5"
        certificate = keepers.certificate("sh", "-c", script, tty=False, ring_bytes=1 << 16, retention_s=0.05)
        async with keepers.born(certificate) as node:
            reader, transcript = await node.open(manual_ack=True)
            await node.read_until(reader, transcript, b"out\n")
            receipt = keepers.receipt(certificate)
            await node.send(b"\n")
            await node.read_until(reader, transcript, b"err\n")
            await node.send(b"\n")
            await node.exit()
        await keepers.gone(receipt)
        final = read_final(certificate.runtime_dir)
        assert final is not None
        assert final.exit is not None
        assert (final.job, final.head, final.total, final.complete) == (certificate.job, 0, 300_008, True)
        assert (final.exit["exit_code"], final.exit["reason"]) == (5, "exited")
        pieces = list(read_segments(certificate.spill_dir))
        assert [(piece.offset, piece.tag, piece.data) for piece in pieces[:2]] == [(0, 0, b"out\n"), (4, 1, b"err\n")]
        assert b"".join(piece.data for piece in pieces[2:]) == bytes(300_000)
        assert not os.path.exists(f"{certificate.runtime_dir}/keeper.sock")

    run(story())


@pytest.mark.parametrize("tty", [True, False])
def test_a_keeper_told_to_end_ends_its_command_first(keepers: Keepers, run: Run, *, tty: bool) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", DEAF, tty=tty, grace_s=0.05)
        async with keepers.midwife() as midwife:
            receipt = await midwife.birth(certificate)
            node = await keepers.dial(certificate)
            reader, transcript = await node.open()
            await node.read_until(reader, transcript, b"ready")
            await node.close()
            os.kill(receipt.keeper_pid, signal.SIGTERM)
            await keepers.gone(receipt)
            assert not keepers.process_alive(receipt.pid, receipt.pid_started)
        final = read_final(certificate.runtime_dir)
        assert final is not None
        assert final.exit is not None
        assert (final.exit["exit_signal"], final.exit["reason"]) == (signal.SIGKILL, "terminated")

    run(story())


def test_a_hangup_does_not_touch_a_keeper(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("cat")
        async with keepers.born(certificate) as node:
            for number in (signal.SIGHUP, signal.SIGINT):
                os.kill(keepers.receipt(certificate).keeper_pid, number)
            assert (await node.hello())["exit"] is None

    run(story())


def test_an_ended_keeper_whose_directories_are_gone_leaves(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", "read x")
        async with keepers.born(certificate) as node:
            receipt = keepers.receipt(certificate)
            for directory in (certificate.runtime_dir, certificate.spill_dir):
                shutil.rmtree(directory)
            await node.send(b"\n")
            await node.exit()
        await keepers.gone(receipt)

    run(story())


def test_a_keeper_whose_socket_was_taken_away_makes_it_anew(keepers: Keepers, run: Run) -> None:
    """A logout takes all of /run/user/UID away."""

    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", "read x; echo got $x")
        async with keepers.born(certificate):
            shutil.rmtree(certificate.runtime_dir)
        wait_until(lambda: os.path.exists(f"{certificate.runtime_dir}/keeper.json"), "it listens again")
        node = await keepers.dial(certificate)
        await node.send(b"x\n")
        assert (await node.exit())["exit_code"] == 0
        await node.close()

    run(story())
