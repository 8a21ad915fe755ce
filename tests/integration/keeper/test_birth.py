"""Keepers are born with the right parent, the right secrets in the right places, or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.errors import (
    AlreadyExists,
    CommandNotExecutable,
    CommandNotFound,
    DeadlineExceeded,
    HoldfastError,
    UsageError,
)
from holdfast.jobs.keeper.records import read_birth
from holdfast.limits import LIMITS
from holdfast.procinfo import process_alive, process_start_time

if TYPE_CHECKING:
    from tests.conftest import Run
    from tests.integration.keeper.conftest import Keepers

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("tty", [True, False])
@pytest.mark.parametrize("warm", [True, False])
def test_a_command_runs_and_its_exit_is_known(keepers: Keepers, run: Run, *, warm: bool, tty: bool) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", "echo out; exit 7", tty=tty)
        async with keepers.midwife(warm=warm) as midwife:
            receipt = await midwife.birth(certificate)
            assert receipt == read_birth(certificate.runtime_dir)
            assert process_start_time(receipt.keeper_pid) == receipt.keeper_started
            node = await keepers.dial(certificate)
            record = await node.exit()
            assert (record["exit_code"], record["exit_signal"], record["reason"]) == (7, None, "exited")
            assert record["usage"]["rss_bytes_max"] > 0
            assert (await node.read_all()).data.rstrip() == b"out"
            await node.close()

    run(story())


def test_death_by_signal_is_known(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.born(keepers.certificate("sh", "-c", "kill -9 $$")) as node:
            record = await node.exit()
            assert (record["exit_code"], record["exit_signal"]) == (None, signal.SIGKILL)

    run(story())


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize(
    ("command", "fields", "error"),
    [
        (["no-such-command-here"], {}, CommandNotFound),
        (["/no/such/command"], {}, CommandNotFound),
        (["./relative"], {}, CommandNotFound),
        (["/etc/passwd"], {}, CommandNotExecutable),
        (["/"], {}, CommandNotExecutable),
        (["true"], {"cwd": "/no/such/dir"}, UsageError),
        (["true"], {"cwd": "/etc/passwd"}, UsageError),
        (["true", "x" * 300_000], {}, UsageError),
    ],
)
def test_what_cannot_start_says_why_and_leaves_nothing(
    keepers: Keepers, run: Run, command: list[str], fields: dict[str, Any], error: type[HoldfastError], *, warm: bool
) -> None:
    async def story() -> None:
        certificate = keepers.certificate(*command, **fields)
        async with keepers.midwife(warm=warm) as midwife:
            with pytest.raises(error) as caught:
                await midwife.birth(certificate)
        if isinstance(caught.value, UsageError):
            assert caught.value.field == ("cwd" if "cwd" in fields else "command")
        assert os.listdir(keepers.directory) == []

    run(story())


def test_a_bad_certificate_names_its_field(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.midwife() as midwife:
            with pytest.raises(UsageError) as caught:
                await midwife.birth(keepers.certificate("true", rows=-1))
            assert caught.value.field == "rows"

    run(story())


def test_a_path_too_long_for_a_socket_is_a_usage_error_and_leaves_nothing(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("true")._replace(runtime_dir=f"{keepers.directory}/{'x' * 120}")
        async with keepers.midwife() as midwife:
            with pytest.raises(UsageError, match="107"):
                await midwife.birth(certificate)
        assert os.listdir(keepers.directory) == []

    run(story())


def test_a_large_certificate_arrives_whole(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        value = "v" * 100_000
        env = {"PATH": os.environ["PATH"], **{f"V{number}": value for number in range(8)}}
        async with keepers.born(keepers.certificate("sh", "-c", "printf %s ${#V7}", env=env)) as node:
            assert (await node.read_all()).data == b"100000"

    run(story())


def test_the_environment_is_the_certificates_alone(keepers: Keepers, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_ONLY", "top-secret")

    async def story() -> None:
        certificate = keepers.certificate("env", env={"PATH": os.environ["PATH"], "A": "1"}, tty=False)
        async with keepers.born(certificate) as node:
            lines = (await node.read_all()).data.decode().splitlines()
            assert sorted(line.partition("=")[0] for line in lines) == ["A", "PATH"]
            environ = Path(f"/proc/{keepers.receipt(certificate).keeper_pid}/environ").read_bytes()
            assert b"NODE_ONLY" not in environ

    run(story())


def test_the_second_birth_of_a_job_is_refused_and_the_first_goes_on(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", f"echo born >> {keepers.directory}/births; read x")
        async with keepers.born(certificate) as node:
            reader, transcript = await node.open()
            async with keepers.midwife() as midwife:
                with pytest.raises(AlreadyExists):
                    await midwife.birth(certificate)
            await node.send(b"\n")
            while transcript.add(await reader.read()):
                pass
            assert (keepers.directory / "births").read_text() == "born\n"

    run(story())


def test_init_owns_the_keeper_and_the_zygotes_death_does_not_touch_it(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        first, second, third = (keepers.certificate("cat") for _ in range(3))
        async with keepers.midwife() as midwife:
            receipt = await midwife.birth(first)
            zygote = midwife.zygote_pid
            assert parent_of(receipt.keeper_pid) not in (zygote, os.getpid())
            assert parent_of(receipt.pid) == receipt.keeper_pid
            os.kill(zygote, signal.SIGKILL)
            await midwife.birth(second)
            await midwife.birth(third)
            assert midwife.zygote_pid not in (0, zygote)
        for certificate in (first, second, third):
            node = await keepers.dial(certificate)
            assert (await node.hello())["job"] == certificate.job
            await node.close()

    run(story())


def test_a_zygote_that_dies_with_a_birth_in_hand_starts_the_command_once(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("sh", "-c", f"echo born >> {keepers.directory}/births; read x")
        async with keepers.midwife() as midwife:
            os.kill(midwife.zygote_pid, signal.SIGSTOP)
            birth = asyncio.ensure_future(midwife.birth(certificate))
            await asyncio.sleep(0)
            os.kill(midwife.zygote_pid, signal.SIGKILL)
            receipt = await birth
            assert process_alive(receipt.keeper_pid, receipt.keeper_started)
            node = await keepers.dial(certificate)
            await node.send(b"\n")
            await node.read_all()
            await node.close()
        assert (keepers.directory / "births").read_text() == "born\n"

    run(story())


def test_a_birth_that_was_given_up_may_still_come_and_keeper_json_tells(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.midwife(limits=LIMITS._replace(birth_s=0.3)) as midwife:
            os.kill(midwife.zygote_pid, signal.SIGSTOP)
            with pytest.raises(DeadlineExceeded) as caught:
                # The first births are those of children forked ahead.
                for _ in range(3):
                    certificate = keepers.certificate("cat")
                    await midwife.birth(certificate)
            assert (caught.value.phase, caught.value.safe_to_retry) == ("birth", False)
            os.kill(midwife.zygote_pid, signal.SIGCONT)
            await keepers.until(lambda: read_birth(certificate.runtime_dir))
            node = await keepers.dial(certificate)
            await node.close()

    run(story())


def test_the_zygote_leaves_with_the_node(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        async with keepers.midwife() as midwife:
            zygote = midwife.zygote_pid
            started = process_start_time(zygote)
        assert not process_alive(zygote, started)

    run(story())


def test_files_are_private_and_hold_no_secret(keepers: Keepers, run: Run) -> None:
    async def story() -> None:
        certificate = keepers.certificate("cat")
        secret = certificate.secret
        async with keepers.midwife() as midwife, keepers.born(certificate) as node:
            await node.hello()
            for directory in (certificate.runtime_dir, certificate.spill_dir):
                assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
            names = set(os.listdir(certificate.runtime_dir))
            assert names == {"keeper.json", "keeper.log", "keeper.sock"}
            for name in names:
                assert stat.S_IMODE(os.stat(f"{certificate.runtime_dir}/{name}").st_mode) == 0o600
            receipt = keepers.receipt(certificate)
            shown = [Path(certificate.runtime_dir, name).read_bytes() for name in ("keeper.json", "keeper.log")]
            for pid in (receipt.keeper_pid, receipt.pid, midwife.zygote_pid):
                shown += [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
            for text in shown:
                assert secret not in text
                assert secret.hex().encode() not in text

    run(story())


def test_the_command_gets_a_clean_process(keepers: Keepers, run: Run) -> None:
    script = """
import os, signal
print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(status['SigBlk'].strip(), status['Umask'].strip())
print(signal.getsignal(signal.SIGHUP) == signal.SIG_DFL, os.getpid() == os.getsid(0) == os.getpgid(0))
"""

    async def story() -> None:
        async with keepers.born(keepers.python(script, tty=False)) as node:
            lines = (await node.read_all()).data.decode().splitlines()
            assert lines == ["['0', '1', '2'] 4", "0000000000000000 0022", "True True"]

    run(story())
