"""Who may talk to a keeper, and what happens to it when they come, go, die or talk nonsense."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import BusyError, HoldfastError, NotFound, Unauthenticated, UsageError

if TYPE_CHECKING:
    from tests.conftest import Run
    from tests.integration.keeper.conftest import Keepers, NodeEnd

DIALLER = """
import asyncio, os, sys
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.handshake.job_link import JobLinkNode

async def main():
    path, job, secret = sys.argv[1:]
    connection = await dial_unix(path, JobLinkNode(job, bytes.fromhex(secret), os.urandom))
    reader = connection.open_reader(window_bytes=1 << 16, start_offset=0)
    answer = await connection.call("keeper.output", {"stream": reader.stream_id, "from_offset": 0})
    reader.start(answer.result["start_offset"])
    await reader.read()
    print("reading", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def raw(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(60)
    sock.connect(path)
    return sock


async def still_works(node: NodeEnd) -> None:
    reader, transcript = await node.open((await node.hello())["total"])
    await node.send(b"ping\n")
    await node.read_until(reader, transcript, b"ping\r\nping\r\n")


def test_a_newer_connection_of_the_node_takes_over(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("cat")
        async with keepers.born(certificate) as old:
            await still_works(old)
            new = await keepers.dial(certificate)
            await old.connection.wait_closed()
            assert isinstance(old.connection.closed_by, BusyError | ConnectionError)
            await still_works(new)
            await new.close()

    run(story())


def test_who_has_not_proven_itself_takes_nothing_over(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("cat")
        path = f"{certificate.runtime_dir}/keeper.sock"
        async with keepers.born(certificate) as node:
            guests = [raw(path) for _ in range(40)]
            for guest in guests:
                with contextlib.suppress(BrokenPipeError):  # too many of them at once, and shown out already
                    guest.send(b"HFR1")
            await still_works(node)
            for wrong in ({"secret": bytes(32)}, {"job": "another"}):
                with pytest.raises(Unauthenticated):
                    await keepers.dial(certificate, **wrong)
            await still_works(node)
            for guest in guests:
                guest.close()
            log = (keepers.directory / f"{certificate.job}.run" / "keeper.log").read_text()
            assert "not let in" in log

    run(story())


def test_a_guest_that_says_nothing_is_cut(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("cat", handshake_s=0.01)
        async with keepers.midwife() as midwife:
            await midwife.birth(certificate)
        with raw(f"{certificate.runtime_dir}/keeper.sock") as guest:
            while guest.recv(4096):
                pass

    run(story())


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(1000),
        b"HFR1" + b"\xff" * 1000,
        b"HFR1" + struct.pack(">I", 1 << 31),
        b"HFR1" + struct.pack(">IBBI", 10, 4, 0, 1) + b"{}{}",
        b"HFR1" + struct.pack(">IBBI", 8, 1, 0, 0) + b"[]",
    ],
)
def test_nonsense_harms_only_who_says_it(keepers: Keepers, run: Run, data: bytes) -> None:
    async def story() -> None:
        certificate = keepers.certificate("cat")
        async with keepers.born(certificate) as node:
            with raw(f"{certificate.runtime_dir}/keeper.sock") as guest:
                guest.send(data)
                while guest.recv(4096):
                    pass
            await still_works(node)

    run(story())


def test_nonsense_from_the_node_cuts_the_link_and_not_the_command(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("cat")
        async with keepers.born(certificate) as node:
            with pytest.raises(NotFound) as caught:
                await node.call("keeper.fly")
            assert caught.value.kind == "method"
            for bad in ({"grace_s": -1}, {"grace_s": "soon"}, {"grace_s": True}):
                with pytest.raises(UsageError):
                    await node.call("keeper.terminate", **bad)
            for bad_input in ({"sequence": -1}, {"sequence": "1"}, {"session": 5}):
                with pytest.raises(UsageError):
                    await node.call("keeper.input", b"x", eof=False, **bad_input)
            with pytest.raises(UsageError):
                await node.call("keeper.input", b"x", eof="yes")
            await still_works(node)

    run(story())


def test_the_death_of_who_dialled_leaves_keeper_and_output_untouched(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", "echo start; cat")
        async with keepers.midwife() as midwife:
            receipt = await midwife.birth(certificate)
        path = f"{certificate.runtime_dir}/keeper.sock"
        arguments = [path, certificate.job, certificate.secret.hex()]
        with subprocess.Popen([sys.executable, "-c", DIALLER, *arguments], stdout=subprocess.PIPE) as dialler:
            assert dialler.stdout is not None
            assert dialler.stdout.readline() == b"reading\n"
            dialler.kill()
        node = await keepers.dial(certificate)
        assert (await node.hello())["pid"] == receipt.pid
        reader, transcript = await node.open()
        await node.send(b"more\n")
        await node.read_until(reader, transcript, b"more\r\nmore\r\n")
        await node.close()

    run(story())


def test_the_death_of_the_keeper_ends_its_terminals_command(keepers: Keepers, run: Run) -> None:
    """Nothing is left that nobody could ever reach."""

    async def story() -> None:
        certificate = keepers.certificate("sleep", "1000")
        async with keepers.midwife() as midwife:
            receipt = await midwife.birth(certificate)
            os.kill(receipt.keeper_pid, signal.SIGKILL)
            await keepers.until(lambda: not keepers.process_alive(receipt.pid, receipt.pid_started))

    run(story())


def test_errors_keep_their_kind_across_the_link(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("cat", tty=False)) as node:
            with pytest.raises(UsageError) as caught:
                await node.call("keeper.resize", rows=24, columns=80)
            assert isinstance(caught.value, HoldfastError)
            assert caught.value.field == "rows"

    run(story())
