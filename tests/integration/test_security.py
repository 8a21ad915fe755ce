"""A real node reached with tokens: who gets in, how far, and what is found lying around afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import holdfast
from holdfast.channels.api import ChannelsApi
from holdfast.rpc.commands import invoke
from holdfast.security.certificates import self_signed
from holdfast.testing import NodeBox, wait_until

Run = Callable[[Coroutine[Any, Any, Any]], Any]

READ = ["jobs:read", "node:read"]
WORK = [*READ, "jobs:write", "jobs:start"]


class Reached(NamedTuple):
    """A node that listens over TCP and TLS as well."""

    box: NodeBox
    tcp: str
    tls: str
    ca_file: str

    def mint(self, *scopes: str, **options: Any) -> str:
        """A fresh token."""
        with holdfast.connect_sync(self.box.url, autostart=False) as node:
            return node.tokens.mint("ann", scopes or READ, **options).token

    def denials(self) -> list[dict[str, Any]]:
        """What the audit log holds of them."""
        lines = (self.box.state_dir / "audit.log").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == "denied"]

    def connect(self, token: str | None = None, *, tls: bool = False, **options: Any) -> holdfast.Node:
        """The async SDK."""
        url, ca_file = (self.tls, self.ca_file) if tls else (self.tcp, None)
        return holdfast.connect(url, token=token, ca_file=ca_file, **options)

    def connect_sync(self, token: str | None = None, *, tls: bool = False, **options: Any) -> holdfast.SyncNode:
        """The blocking SDK."""
        url, ca_file = (self.tls, self.ca_file) if tls else (self.tcp, None)
        return holdfast.connect_sync(url, token=token, ca_file=ca_file, **options)

    def owner(self) -> holdfast.SyncNode:
        """The owner's connection."""
        return holdfast.connect_sync(self.box.url, autostart=False)


@pytest.fixture
def reached(box: NodeBox, monkeypatch: pytest.MonkeyPatch) -> Reached:
    for name in ("HOLDFAST_TOKEN", "HOLDFAST_TOKEN_FILE", "HOLDFAST_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    box.start_node("--listen", "tcp://127.0.0.1:0", "--listen", "tls://127.0.0.1:0", "--tls-self-signed")
    with holdfast.connect_sync(box.url, autostart=False) as node:
        tcp, tls = node.info().listening
    return Reached(box, tcp, tls, str(box.state_dir / "tls" / "cert.pem"))


# who gets in


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_nobody_gets_in_without_a_token(reached: Reached, run: Run, tls: bool) -> None:
    async def knock(token: str | None) -> None:
        async with reached.connect(token, tls=tls):
            pass

    forged = reached.mint()[:-8] + "AAAAAAAA"
    for token in (None, "", "x.y.z", forged):
        with pytest.raises(holdfast.Unauthenticated):
            run(knock(token))
        with pytest.raises(holdfast.Unauthenticated), reached.connect_sync(token, tls=tls):
            pass
    denials = reached.denials()
    assert len(denials) == 8
    assert {denial["action"] for denial in denials} == {"authenticate", "connect"}
    assert all(denial["peer"].startswith("127.0.0.1:") for denial in denials)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_with_a_token_work_is_done(reached: Reached, run: Run, tls: bool) -> None:
    token = reached.mint(*WORK)

    async def main() -> None:
        async with reached.connect(token, tls=tls) as node:
            assert (await node.info()).jobs == 0
            job = await node.jobs.start(["seq", "100000"], env={"PATH": os.environ["PATH"]})
            data = b"".join([chunk.data async for chunk in job.output()])
            assert data == b"".join(b"%d\n" % number for number in range(1, 100_001))

    run(main())
    with reached.connect_sync(token, tls=tls) as node:
        (job,) = node.jobs.list()
        assert sum(len(chunk.data) for chunk in job.output()) == 588_895
        assert job.wait().exit_code == 0


def test_a_node_with_another_certificate_is_not_trusted(reached: Reached, run: Run, tmp_path: Path) -> None:
    other = self_signed(str(tmp_path / "tls"), ["127.0.0.1"], time.time()).cert_file
    token = reached.mint()

    async def main(ca_file: str) -> None:
        async with holdfast.connect(reached.tls, token=token, ca_file=ca_file):
            pass

    for ca_file in (other, ""):
        with pytest.raises(holdfast.ProtocolError, match="not trusted"):
            run(main(ca_file))
        with (
            pytest.raises(holdfast.ProtocolError, match="not trusted"),
            holdfast.connect_sync(reached.tls, token=token, ca_file=ca_file),
        ):
            pass
    done = reached.box.run("--url", reached.tls, "--ca-file", other, "ps", code=125)
    assert b"not trusted" in done.stderr


# how far


def test_a_reader_reads(reached: Reached) -> None:
    with reached.owner() as node:
        job = node.jobs.start(["cat"], name="cat")
    with reached.connect_sync(reached.mint(*WORK, role="reader")) as node:
        seen = node.jobs.get("cat")
        for write in (
            lambda: seen.send("x"),
            lambda: seen.signal("KILL"),
            seen.stop,
            lambda: seen.remove(force=True),
            lambda: node.jobs.start(["true"]),
            node.tokens.list,
            lambda: node.tokens.mint("me", ["admin"]),
        ):
            with pytest.raises(holdfast.PermissionDenied):
                write()
        assert seen.refresh().state == "running"
    denials = reached.denials()
    assert [denial["action"] for denial in denials] == [*["jobs.write"] * 4, "jobs.start", *["tokens.manage"] * 2]
    assert {denial["by"] for denial in denials} == {"ann"}
    assert job.id


def test_bound_to_a_job_the_others_are_not_there(reached: Reached) -> None:
    with reached.owner() as node:
        mine, other = node.jobs.start(["cat"], name="mine"), node.jobs.start(["cat"], name="other")
        with pytest.raises(holdfast.AlreadyExists):
            node.jobs.start(["cat"], name=mine.id)  # its name would be another's id
    with reached.connect_sync(reached.mint(*WORK, job="mine")) as node:
        assert [job.id for job in node.jobs.list()] == [mine.id]
        for known in ("mine", mine.id, mine.id[:11]):
            assert node.jobs.get(known).id == mine.id
        for name in ("other", other.id, other.id[:4], "nobody", "", other.id[:1]):
            with pytest.raises(holdfast.NotFound) as caught:
                node.jobs.get(name)
            assert str(caught.value) == f"no job {name!r}"
        with pytest.raises(holdfast.PermissionDenied):
            node.jobs.start(["true"])
    assert {denial["resource"] for denial in reached.denials() if "resource" in denial} >= {"other", "nobody"}


def test_a_jobs_own_token_is_less_than_its_owner(reached: Reached) -> None:
    with reached.owner() as node:
        caller = {"PATH": os.environ["PATH"], "HOLDFAST_TOKEN": "callers-secret", "HOLDFAST_TOKEN_FILE": "/callers"}
        job = node.jobs.start(["env"], env=caller)
        printed = b"".join(chunk.data for chunk in job.output()).decode()
    env = dict(line.split("=", 1) for line in printed.splitlines())
    assert env["HOLDFAST_JOB"] == job.id
    assert "callers" not in printed
    for url in (reached.box.url, reached.tcp):
        with holdfast.connect_sync(url, token=env["HOLDFAST_TOKEN"], autostart=False) as node:
            for denied in (node.info, node.jobs.list, lambda node=node: node.jobs.start(["true"]), node.tokens.list):
                with pytest.raises(holdfast.PermissionDenied):
                    denied()
    with reached.owner() as node:
        node.tokens.revoke(f"job-{job.id}")
    with pytest.raises(holdfast.Unauthenticated, match="revoked"):
        reached.connect_sync(env["HOLDFAST_TOKEN"]).connection()


# when a token ends


def test_an_expired_token_is_replaced_and_the_output_goes_on(reached: Reached, run: Run) -> None:
    """The first token is good for a second: long enough to begin, unless the machine is very busy."""
    asked: list[int] = []
    with reached.owner() as owner:
        cat = owner.jobs.start(["cat"], name="cat")
        cat.send("before\n")

        async def fresh() -> str:
            """Another token each time; once the first one has expired, the job is given the rest of its input."""
            asked.append(1)
            if len(asked) == 2:
                cat.send("after\n", eof=True)
            return owner.tokens.mint("ann", WORK, ttl_s=1 if len(asked) == 1 else 3600).token

        async def main() -> None:
            async with reached.connect(token_callback=fresh, tls=True) as node:
                job = await node.jobs.get("cat")
                got = b""
                async for chunk in job.output():
                    assert chunk.offset == len(got)
                    got += chunk.data
                assert got == b"before\nafter\n"
                assert (await node.jobs.start(["true"])).id

        run(main())
    assert len(asked) == 2


def test_an_expired_token_is_replaced_and_the_output_goes_on_blocking(reached: Reached) -> None:
    asked: list[int] = []
    with reached.owner() as owner:
        cat = owner.jobs.start(["cat"], name="cat")
        cat.send("before\n")

        def fresh() -> str:
            asked.append(1)
            if len(asked) == 2:
                cat.send("after\n", eof=True)
            return owner.tokens.mint("ann", WORK, ttl_s=1 if len(asked) == 1 else 3600).token

        with reached.connect_sync(token_callback=fresh, tls=True) as node:
            job = node.jobs.get("cat")
            assert b"".join(chunk.data for chunk in job.output()) == b"before\nafter\n"
            assert node.jobs.start(["true"]).id
    assert len(asked) == 2


def test_without_a_callback_an_expired_token_ends_it(reached: Reached, run: Run) -> None:
    with reached.owner() as owner:
        owner.jobs.start(["cat"], name="cat")
    token = reached.mint(*WORK, ttl_s=1)

    async def main() -> None:
        async with reached.connect(token) as node:
            job = await node.jobs.get("cat")
            try:
                async for _ in job.output():
                    pass
            finally:
                with pytest.raises(holdfast.Unauthenticated, match="expired"):
                    await job.send("x")

    with pytest.raises(holdfast.Unauthenticated, match="expired"):
        run(main())


def test_a_callback_that_gives_the_same_again_is_asked_once(reached: Reached, run: Run) -> None:
    token = reached.mint(ttl_s=1)
    wait_until(lambda: _expired(reached, token), "the token expires")
    asked: list[int] = []

    def same() -> str:
        asked.append(1)
        return token

    async def main() -> None:
        async with reached.connect(token, token_callback=same):
            pass

    with pytest.raises(holdfast.Unauthenticated, match="expired"):
        run(main())
    with pytest.raises(holdfast.Unauthenticated, match="expired"), reached.connect_sync(token, token_callback=same):
        pass
    assert len(asked) == 2


def _expired(reached: Reached, token: str) -> bool:
    try:
        reached.connect_sync(token).__enter__().close()
    except holdfast.Unauthenticated:
        return True
    return False


def test_a_revoked_token_is_cut_off_in_the_middle(reached: Reached, run: Run) -> None:
    with reached.owner() as owner:
        owner.jobs.start(["sh", "-c", "echo there; exec cat"], name="cat")
        first, second = owner.tokens.mint("ann", WORK), owner.tokens.mint("ben", WORK)

        async def main() -> None:
            async with reached.connect(first.token) as node, reached.connect(second.token) as other:
                output = (await node.jobs.get("cat")).output()
                assert (await anext(output)).data == b"there\n"
                parked = asyncio.create_task(anext(output))
                await asyncio.sleep(0)
                owner.tokens.revoke(first.info.id)
                with pytest.raises(holdfast.Unauthenticated, match="revoked"):
                    await parked
                with pytest.raises(holdfast.Unauthenticated, match="revoked"):
                    await node.info()
                assert (await other.info()).jobs == 1

        run(main())
        states = {info.subject: bool(info.revoked_at) for info in owner.tokens.list()}
    assert states == {"ann": True, "ben": False}


def test_revoked_is_revoked_after_a_crash(reached: Reached) -> None:
    with reached.owner() as owner:
        minted, other = owner.tokens.mint("ann", READ), owner.tokens.mint("ben", READ)
        owner.tokens.revoke(minted.info.id)
    reached.box.kill_node()
    reached.box.start_node("--listen", reached.tcp)
    with pytest.raises(holdfast.Unauthenticated, match="revoked"), reached.connect_sync(minted.token):
        pass
    with reached.connect_sync(other.token) as node:
        assert node.info().listening == [reached.tcp]


def test_one_token_cannot_take_all_connections(box: NodeBox, run: Run) -> None:
    box.env["HOLDFAST_LIMIT_CONNECTIONS_PER_TOKEN_MAX"] = "2"
    box.start_node()
    with holdfast.connect_sync(box.url, autostart=False) as owner:
        token = owner.tokens.mint("ann", READ).token
        other = owner.tokens.mint("ben", READ).token

    async def main() -> None:
        async with (
            holdfast.connect(box.url, token=token) as one,
            holdfast.connect(box.url, token=token) as two,
            holdfast.connect(box.url, token=other) as three,
        ):
            for node in (one, two, three):
                await node.info()
            with pytest.raises(holdfast.HoldfastError) as caught:
                async with holdfast.connect(box.url, token=token, reconnect_s=0) as four:
                    await four.info()
            reason = caught.value if isinstance(caught.value, holdfast.LimitExceeded) else caught.value.__cause__
            assert isinstance(reason, holdfast.LimitExceeded)
            assert reason.name == "connections_per_token_max"

    run(main())


def test_one_token_cannot_take_all_streams(box: NodeBox, run: Run) -> None:
    box.env["HOLDFAST_LIMIT_STREAMS_PER_TOKEN_MAX"] = "2"
    box.start_node()
    with holdfast.connect_sync(box.url, autostart=False) as owner:
        owner.channels.create("p", "chat", submitter="ann")
        token = owner.tokens.mint("ann", ["channels:read"]).token

    async def main() -> None:
        async with (
            holdfast.connect(box.url, token=token) as one,
            holdfast.connect(box.url, token=token) as two,
            holdfast.connect(box.url) as owner,
        ):
            mine, same = one.channels.channel("p/chat"), two.channels.channel("p/chat")
            async with mine.subscribe():
                async with same.subscribe():
                    with pytest.raises(holdfast.LimitExceeded) as caught:
                        await mine.subscribe().__aenter__()
                    assert (caught.value.name, caught.value.limit) == ("streams_per_token_max", 2)
                while True:  # the room of the one that left comes back
                    try:
                        async with mine.subscribe():
                            break
                    except holdfast.LimitExceeded:
                        await asyncio.sleep(0.01)
            chat = owner.channels.channel("p/chat")
            async with chat.subscribe(), chat.subscribe(), chat.subscribe():
                assert (await chat.info()).subscribers >= 3

    run(main())


def test_one_token_cannot_fill_the_memory_with_appends(box: NodeBox, run: Run) -> None:
    box.env.update(
        HOLDFAST_LIMIT_ARRIVING_PER_TOKEN_BYTES_MAX="3000000",
        HOLDFAST_LIMIT_CHANNEL_PAYLOAD_BYTES_MAX="2000000",
        HOLDFAST_LIMIT_CHANNEL_BATCH_BYTES_MAX="3000000",
        HOLDFAST_LIMIT_STREAM_APPEND_BYTES_MAX="3000000",
    )
    box.start_node()
    with holdfast.connect_sync(box.url, autostart=False) as owner:
        owner.channels.create("p", "chat", submitter="ann")
        token = owner.tokens.mint("ann", ["channels:read", "channels:write", "streams:read", "streams:write"]).token

    async def main() -> None:
        async with holdfast.connect(box.url, token=token) as one, holdfast.connect(box.url, token=token) as two:
            connection = await one._link.connection()
            stream = connection.open_writer().stream_id
            said = invoke(connection, ChannelsApi.append_stream, "p/chat", stream, 1_600_000)
            stalled = asyncio.create_task(said)  # it says what comes, and sends nothing
            await asyncio.sleep(0)
            await one.channels.channel("p/chat").info()  # answered after the node has heard of it
            with pytest.raises(holdfast.RateLimited) as caught:
                await two.channels.channel("p/chat").append(bytes(1_500_000), patience_s=0)
            assert caught.value.name == "arriving_per_token_bytes_max"
            await two.channels.channel("p/chat").append(bytes(1_000_000))
            stalled.cancel()
            await asyncio.wait([stalled])
            await two.channels.channel("p/chat").append(bytes(1_500_000))  # waits until that is noticed

    run(main())


# what lies around


def test_secrets_are_nowhere_to_be_found(reached: Reached) -> None:
    box = reached.box
    made = box.run("token", "mint", "--sub", "ann", "--scope", "jobs:read,jobs:start", "--ttl", "10m")
    token = made.stdout.decode().strip()
    file = box.directory / "token"
    file.touch(0o600)
    file.write_text(token + "\n")
    box.env["HOLDFAST_TOKEN_FILE"] = str(file)
    with reached.owner() as node:
        job = node.jobs.start(["sh", "-c", 'printf %s "$HOLDFAST_TOKEN"; exec cat'])
        own = next(job.output()).data.decode()
        job_info, node_pid = job.refresh(), node.info().pid
    assert box.run("--url", reached.tcp, "ps", "-q").stdout.decode().strip() == job.id
    box.run("--url", reached.tcp, "stop", job.id, code=5)
    secrets = [secret.rpartition(".")[2].encode() for secret in (token, own)]
    assert all(len(secret) == 86 for secret in secrets)
    for directory in (box.state_dir, box.runtime_dir):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
                if "spill" not in path.parts and "engine" not in path.parts:  # the job printed it
                    assert not any(secret in path.read_bytes() for secret in secrets), path
    log = (box.directory / "node.err").read_bytes()
    assert not any(secret in log for secret in secrets)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        assert not any(secret in _proc(pid, "cmdline") for secret in secrets), pid
    for ours in (job_info.keeper_pid, node_pid):
        assert not any(secret in _proc(str(ours), "environ") for secret in secrets), ours


def _proc(pid: str, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


# the command line


def test_tokens_from_the_command_line(reached: Reached) -> None:
    box = reached.box
    minted = json.loads(box.run("token", "mint", "--sub", "ann", "--scope", "jobs:read", "-o", "json").stdout)
    (listed,) = json.loads(box.run("token", "ls", "-o", "json").stdout)
    assert listed == {name: value for name, value in minted.items() if name != "token"}
    assert minted["token"] not in box.run("token", "ls").stdout.decode()
    box.env["HOLDFAST_TOKEN"] = minted["token"]
    assert box.run("--url", reached.tcp, "ps", "-q").stdout == b""
    assert box.run("--url", reached.tls, "--ca-file", reached.ca_file, "ps", "-q").stdout == b""
    box.run("token", "revoke", minted["id"])
    assert b"revoked" in box.run("--url", reached.tcp, "ps", code=5).stderr
    assert box.run("token", "ls", "-o", "name").stdout.decode().split() == [minted["id"]]
    assert b"revoked" in box.run("token", "ls").stdout
    refused = box.run("token", "revoke", minted["token"], code=125)
    assert minted["token"].encode() not in refused.stdout + refused.stderr
    box.run("token", "revoke", "0" * 12, code=3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scope", "jobs:eat"], "jobs:eat"),
        (["--scope", "jobs:read", "--ttl", "999d"], "token_ttl_s_max"),
        (["--scope", "jobs:read", "--channel", "x"], "PROCESS/NAME"),
    ],
)
def test_wishes_that_cannot_be_met(node_box: NodeBox, arguments: list[str], says: str) -> None:
    done = node_box.run("token", "mint", "--sub", "ann", *arguments, code=125)
    assert says in done.stderr.decode()
    assert done.stdout == b""
    node_box.run("token", "mint", "--sub", "ann", "--scope", "jobs:read", "--job", "nobody", code=3)


def test_a_token_file_that_others_may_read_is_refused(reached: Reached, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(reached.mint())
    file.chmod(0o644)
    done = reached.box.run("--url", reached.tcp, "--token-file", str(file), "ps", code=125)
    assert b"chmod 600" in done.stderr
    missing = reached.box.run("--url", reached.tcp, "--token-file", str(tmp_path / "none"), "ps", code=125)
    assert b"cannot read" in missing.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--listen", "tcp://0.0.0.0:0"], "in the clear"),
        (["--listen", "tcp://[::]:0"], "in the clear"),
        (["--listen", "tcp://node.example:0"], "in the clear"),
        (["--listen", "tls://127.0.0.1:0"], "--tls-self-signed"),
        (["--listen", "unix:///x"], "unix"),
        (["--listen", "127.0.0.1:1"], "listen"),
        (["--tls-self-signed"], "no tls://"),
        (["--listen", "tls://127.0.0.1:0", "--tls-cert", "x"], "come together"),
        (["--listen", "tls://127.0.0.1:0", "--tls-cert", "x", "--tls-key", "y"], "cannot use certificate"),
        (["--listen", "tls://127.0.0.1:0", "--tls-cert", "x", "--tls-key", "y", "--tls-self-signed"], "given already"),
    ],
    ids=str,
)
def test_listening_that_is_refused(box: NodeBox, options: list[str], says: str) -> None:
    done = box.run("serve", *options, code=125)
    assert says in done.stderr.decode()


def test_a_node_in_the_background_tells_where_it_listens(box: NodeBox) -> None:
    done = box.run("serve", "--background", "--listen", "tls://127.0.0.1:0", "--tls-self-signed")
    unix, tls = done.stdout.decode().split()
    assert unix == box.url
    assert tls.startswith("tls://127.0.0.1:")
    assert b"sha256 " in done.stderr


def test_nothing_listens_on_tcp_unless_asked(node_box: NodeBox) -> None:
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        pid = node.info().pid
        assert node.info().listening == []
    inodes = set(_targets(f"/proc/{pid}/fd"))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in inodes, line


def _targets(path: str) -> Iterator[str]:
    """Where the links in a directory lead that others add to and take from."""
    for name in os.listdir(path):
        try:
            yield os.readlink(f"{path}/{name}")
        except FileNotFoundError:
            continue


# channels


def test_a_jobs_token_reaches_its_own_channels_only(reached: Reached) -> None:
    with reached.owner() as node:
        job = node.jobs.start(["sh", "-c", 'printf %s "$HOLDFAST_TOKEN"; exec cat'], channels=["chat"])
        node.jobs.start(["cat"], name="other", channels=["chat"])
        own = next(job.output()).data.decode()
        other = node.jobs.get("other")
        foreign = f"{other.id}/chat"
    with holdfast.connect_sync(reached.box.url, token=own, autostart=False) as node:
        assert [info.process for info in node.channels.list()] == [job.id]
        node.channels.channel(f"{job.id}/chat").append("hello")
        with pytest.raises(holdfast.PermissionDenied, match="may not speak as"):
            node.channels.channel(f"{job.id}/chat").sent_by("alice").append("not me")
        for name in (foreign, "nobody/chat"):
            for ask in (
                node.channels.channel(name).info,
                lambda name=name: node.channels.channel(name).append("x"),
                lambda name=name: list(node.channels.channel(name).read()),
                lambda name=name: next(iter(node.channels.channel(name).subscribe())),
            ):
                with pytest.raises(holdfast.NotFound) as caught:
                    ask()
                assert str(caught.value) == str(holdfast.NotFound(kind="channel", name=name))
        with pytest.raises(holdfast.PermissionDenied):
            node.channels.create(job.id, "more")
    denied = [denial.get("resource") for denial in reached.denials()]
    assert denied.count(foreign) == denied.count("nobody/chat") == 4


def test_commands_ask_for_nothing_their_token_is_not_for(reached: Reached, tmp_path: Path) -> None:
    with reached.owner() as node:
        node.channels.create("p", "chat", submitter="ann")
        job = node.jobs.start(["cat"], name="cat", channels=["chat"])
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(reached.mint("channels:read", "channels:write"))
    command = ("--url", reached.tcp, "--token-file", str(token), "channel")
    reached.box.run(*command, "append", "p/chat", "hello")
    assert reached.box.run(*command, "read", "-o", "raw", "p/chat").stdout == b"hello"
    assert reached.denials() == []
    token.write_text(reached.mint("channels:read", "jobs:read", job=job.id))
    assert reached.box.run(*command, "read", "-o", "raw", "cat/chat").stdout == b""


def test_a_reader_of_one_channel_reads_it(reached: Reached) -> None:
    with reached.owner() as node:
        job = node.jobs.start(["cat"], name="j", channels=["chat", "private"])
        node.channels.channel(f"{job.id}/chat").append("hello")
    token = reached.mint("channels:read", "channels:write", job="j", channel="chat", role="reader")
    with reached.connect_sync(token, tls=True) as node:
        (entry,) = node.channels.channel(f"{job.id}/chat").read()
        assert entry.payload == b"hello"
        with pytest.raises(holdfast.PermissionDenied, match="reader"):
            node.channels.channel(f"{job.id}/chat").append("x")
        with pytest.raises(holdfast.NotFound):
            node.channels.channel(f"{job.id}/private").info()
        assert [info.name for info in node.channels.list()] == ["chat"]
