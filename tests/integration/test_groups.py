"""Groups of two real nodes over UDP on loopback: the CLI, the SDK, and a node that is killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import holdfast
from holdfast.errors import (
    AlreadyExists,
    ClosedError,
    DisconnectedError,
    HoldfastError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    Unavailable,
    UsageError,
)
from holdfast.limits import LIMITS
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.commands import invoke
from holdfast.rpc.handshake.authenticators import LocalClient
from holdfast.sync.api import GroupsApi
from holdfast.testing import NodeBox, wait_until


class Two(NamedTuple):
    alice: NodeBox
    bob: NodeBox


@pytest.fixture
def two() -> Iterator[Two]:
    """Two nodes that take part in the group ``ops``."""
    with NodeBox.temporary() as alice, NodeBox.temporary() as bob:
        for box in (alice, bob):
            box.start_node()
        first = made(alice, "alice")
        second = made(bob, "bob", "--peer", first)
        alice.run("group", "join", "ops", "--peer", second)
        yield Two(alice, bob)


def made(box: NodeBox, me: str, *options: str) -> str:
    done = box.run("group", "create", "ops", "--me", me, "--listen", "127.0.0.1:0", "-o", "json", *options)
    info = json.loads(done.stdout)
    assert info["address"] == info["spec"]["listen"]
    return str(info["address"])


def entries(box: NodeBox) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(box.run("channel", "read", "groups/ops", "-o", "json").stdout)
    return found


def payloads(box: NodeBox) -> list[str]:
    return [entry["payload"] for entry in entries(box)]


def status(box: NodeBox) -> dict[str, Any]:
    (found,) = json.loads(box.run("group", "status", "ops", "-o", "json").stdout)
    assert isinstance(found, dict)
    return found


def test_what_one_node_sends_is_in_the_channels_of_both(two: Two) -> None:
    assert two.alice.run("group", "send", "ops", "one", "word").stdout == b"1\n"
    wait_until(lambda: payloads(two.bob) == ["one word"], "bob has it")
    tail = two.bob.spawn("group", "tail", "ops", "--theirs", "-o", "text", stdout=subprocess.PIPE)
    assert tail.stdout is not None
    assert tail.stdout.readline() == b"one word\n"
    two.bob.run("group", "send", "ops", "--lines", "-f", "-", input=b"two\nthree\n")
    two.bob.run("channel", "append", "groups/ops", "four")
    wait_until(lambda: len(payloads(two.alice)) == 4, "alice has all")
    assert payloads(two.alice) == payloads(two.bob) == ["one word", "two", "three", "four"]
    senders = [entry["sender"] for entry in entries(two.alice)]
    assert senders == ["alice", "bob", "bob", "bob"]
    assert [entry["headers"].get("group-id") for entry in entries(two.alice)][1:] != [None] * 3
    wait_until(lambda: status(two.bob)["outgoing"] == 0, "alice has acknowledged all of bob's")
    shown = json.loads(two.alice.run("group", "snapshot", "ops", "-o", "json").stdout)
    assert shown == json.loads(two.bob.run("group", "snapshot", "ops", "-o", "json").stdout) | {
        "lamport": shown["lamport"]
    }
    assert [one["sender"] for one in shown["log"]] == senders
    table = two.alice.run("group", "status").stdout.decode()
    assert "synced" in table and "alice" in table


async def flood(box: NodeBox, me: str, count: int, sent: list[str]) -> None:
    """Send ``count`` messages, eight at a time, over whatever happens to the node; one may be sent twice then."""
    async with holdfast.connect(box.url, autostart=False) as node:
        group, room = node.groups.group("ops"), asyncio.Semaphore(8)

        async def one(text: str) -> None:
            async with room:
                while True:
                    try:
                        sent.append((await group.send(text)).id)
                    except (DisconnectedError, Unavailable, ClosedError):
                        await asyncio.sleep(0.05)
                    else:
                        return

        await asyncio.gather(*(one(f"{me} {number}") for number in range(count)))


def test_a_node_that_is_killed_while_both_send_has_everything_once_and_in_order(two: Two) -> None:
    sent: dict[str, list[str]] = {"alice": [], "bob": []}

    async def kill() -> None:
        while len(sent["bob"]) < 50:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(two.bob.kill_node)
        await asyncio.to_thread(two.bob.start_node)

    async def main() -> None:
        await asyncio.gather(
            flood(two.alice, "alice", 200, sent["alice"]), flood(two.bob, "bob", 200, sent["bob"]), kill()
        )

    asyncio.run(asyncio.wait_for(main(), 60))
    wait_until(lambda: len(entries(two.bob)) == len(entries(two.alice)) >= 400, "both have all")
    found = {box: [(entry["headers"]["group-id"], entry["sender"]) for entry in entries(box)] for box in two}
    for me, ids in sent.items():
        first, second = ([one for one, sender in pairs if sender == me] for pairs in found.values())
        assert first == second
        assert len(set(first)) == len(first)
        assert set(ids) <= set(first)


def test_lines_are_sent_once_each_though_the_node_is_killed_meanwhile(two: Two) -> None:
    lines = [f"line {number}" for number in range(150)]
    sender = two.alice.spawn(
        "group", "send", "ops", "--lines", "-f", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert sender.stdin is not None and sender.stdout is not None
    sender.stdin.write("\n".join(lines).encode() + b"\n")
    sender.stdin.close()
    printed = [sender.stdout.readline() for _ in range(30)]
    two.alice.kill_node()  # the sender starts the next one
    printed += sender.stdout.readlines()
    assert sender.wait() == 0
    assert [int(index) for index in printed] == list(range(1, len(lines) + 1))
    assert payloads(two.alice) == lines
    wait_until(lambda: payloads(two.bob) == lines, "bob has all")


def test_leaving_and_joining_again_loses_nothing(two: Two) -> None:
    two.alice.run("group", "send", "ops", "one")
    wait_until(lambda: payloads(two.bob) == ["one"], "bob has it")
    assert two.bob.run("group", "leave", "ops").stdout == b"ops\n"
    assert status(two.bob)["state"] == "left"
    assert b"join it first" in two.bob.run("group", "send", "ops", "x", code=None).stderr
    two.alice.run("group", "send", "ops", "two")
    two.bob.run("channel", "append", "groups/ops", "written while away")
    two.bob.run("group", "join", "ops")
    wait_until(lambda: len(payloads(two.alice)) == len(payloads(two.bob)) == 3, "both have all")
    assert set(payloads(two.alice)) == {"one", "two", "written while away"}
    assert two.bob.run("group", "rm", "ops").stdout == b"ops\n"
    assert json.loads(two.bob.run("group", "status", "-o", "json").stdout) == []
    assert json.loads(two.bob.run("channel", "ls", "-o", "json").stdout) == []


def test_the_async_sdk(two: Two) -> None:
    async def main() -> None:
        async with holdfast.connect(two.alice.url) as alice, holdfast.connect(two.bob.url) as bob:
            group = await alice.groups.get("ops")
            other = bob.groups.group("ops")
            async with other.channel.subscribe() as subscription:
                sent = await group.send("hello")
                entry = await anext(subscription)
                assert (entry.text, entry.sender, entry.headers["group-id"]) == ("hello", "alice", sent.id)
            info = await other.status()
            assert (info.delivered, info.sync, [peer.name for peer in info.peers]) == (1, "synced", ["alice"])
            assert (await group.send(b"beep", ephemeral=True)).index == 0
            assert [one.id for one in (await other.snapshot()).log] == [sent.id]
            with pytest.raises(AlreadyExists):
                await alice.groups.create("ops", "x", bus=True)
            with pytest.raises(UsageError, match="one of multicast, listen and bus"):
                await alice.groups.create("other", "x")
            with pytest.raises(UsageError, match="multicast"):
                await alice.groups.create("other", "x", multicast="10.0.0.1:1")
            with pytest.raises(UsageError, match="profile"):
                await alice.groups.create("other", "x", bus=True, profile="moon")
            with pytest.raises(Unavailable, match=r"192\.0\.2\.1"):
                await alice.groups.create("other", "x", listen="192.0.2.1:9")
            with pytest.raises(UsageError, match="content"):
                await group.send(b"")
            with pytest.raises(NotFound):
                await alice.groups.get("other")
            await (await alice.groups.create("other", "x", bus=True)).leave()
            with pytest.raises(ClosedError):
                await alice.groups.group("other").send("x")
            assert [info.spec.name for info in await alice.groups.list()] == ["ops", "other"]
            await alice.groups.group("other").remove(keep_channel=True)
            assert [info.id for info in await alice.channels.list()] == ["groups/ops", "groups/other"]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_with_a_key_only_those_who_have_it_take_part(two: Two, tmp_path: Path) -> None:
    key = two.alice.run("group", "key").stdout
    path = tmp_path / "ops.key"
    path.write_bytes(key)
    path.chmod(0o644)
    assert b"chmod 600" in two.alice.run("group", "join", "ops", "--key-file", str(path), code=None).stderr
    path.chmod(0o600)
    two.alice.run("group", "join", "ops", "--key-file", str(path))
    two.alice.run("group", "send", "ops", "sealed")
    wait_until(lambda: status(two.bob)["malformed"] > 0, "bob hears what he cannot read")
    assert payloads(two.bob) == []
    assert b"sealed with a key" in two.bob.run("group", "status", "ops").stderr
    two.bob.run("group", "join", "ops", "--key-file", str(path))
    wait_until(lambda: payloads(two.bob) == ["sealed"], "bob has it")
    two.alice.kill_node()
    two.alice.start_node()
    two.bob.run("group", "send", "ops", "still")
    wait_until(lambda: payloads(two.alice) == ["sealed", "still"], "alice has it")
    shown = two.alice.run("group", "status", "ops", "-o", "json").stdout
    assert json.loads(shown)[0]["sealed"] and key.strip() not in shown
    table = two.alice.run("group", "status", "ops").stdout.decode()
    assert "sealed" in table and "BEHIND" in table


def test_a_key_is_removed_with_a_flag(two: Two, tmp_path: Path) -> None:
    path = tmp_path / "ops.key"
    path.touch(0o600)
    path.write_bytes(two.alice.run("group", "key").stdout)
    for box in two:
        box.run("group", "join", "ops", "--key-file", str(path))
    refused = two.alice.run("group", "join", "ops", "--key-file", str(path), "--no-key", code=125).stderr
    assert b"--key-file and --no-key exclude each other" in refused
    assert status(two.alice)["sealed"]
    two.alice.run("group", "join", "ops")
    assert status(two.alice)["sealed"], "without a word on it the key stays"
    assert not json.loads(two.alice.run("group", "join", "ops", "--no-key", "-o", "json").stdout)["sealed"]
    two.alice.run("group", "send", "ops", "open")
    wait_until(lambda: status(two.bob)["unverified"] > 0, "bob hears what is not sealed")
    assert payloads(two.bob) == []
    two.bob.run("group", "join", "ops", "--no-key")
    wait_until(lambda: payloads(two.bob) == ["open"], "bob has it")
    two.bob.run("group", "join", "ops", "--no-key")  # there is none: nothing to do
    two.bob.kill_node()
    two.bob.start_node()
    assert not status(two.bob)["sealed"]


def test_a_message_of_just_the_limit_is_sent_by_all_ways_and_one_byte_more_by_none(two: Two) -> None:
    most = LIMITS.group_content_bytes_max
    contents = [bytes([number]) * most for number in (1, 2, 3)]
    assert two.alice.run("group", "send", "ops", "-f", "-", input=contents[0]).stdout == b"1\n"
    said = two.alice.run("group", "send", "ops", "-f", "-", input=bytes(most + 1), code=None)
    assert said.returncode and f"group_content_bytes_max = {most}".encode() in said.stderr
    with holdfast.connect_sync(two.alice.url) as node:
        assert node.groups.group("ops").send(contents[1]).index == 2
        assert node.groups.group("ops").send(contents[1], ephemeral=True).index == 0

    async def main() -> None:
        async with holdfast.connect(two.alice.url) as alice, holdfast.connect(two.bob.url) as bob:
            group = alice.groups.group("ops")
            with pytest.raises(LimitExceeded, match="group_content_bytes_max"):
                await group.send(bytes(most + 1))
            with pytest.raises(NotFound):
                await alice.groups.group("other").send(contents[2])
            assert (await group.send(contents[2])).index == 3
            assert (await group.send(contents[2], ephemeral=True)).index == 0
            async with bob.groups.group("ops").channel.subscribe() as subscription:
                assert [(await anext(subscription)).payload for _ in contents] == contents

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_stream_that_is_not_what_was_said_sends_nothing(two: Two) -> None:
    async def main() -> None:
        path = two.alice.url.removeprefix("unix://")
        async with await dial_unix(path, LocalClient()) as connection:
            with pytest.raises(LimitExceeded, match="group_content_bytes_max"):
                await invoke(connection, GroupsApi.send_stream, "ops", 99, LIMITS.group_content_bytes_max + 1)
            for size in (9, 11):
                writer = connection.open_writer()
                call = asyncio.create_task(invoke(connection, GroupsApi.send_stream, "ops", writer.stream_id, size))
                await writer.write(bytes(10))
                with suppress(HoldfastError):  # the node stopped reading
                    await writer.close()
                with pytest.raises(UsageError, match="stream"):
                    await call

    asyncio.run(asyncio.wait_for(main(), 60))
    assert payloads(two.alice) == []


def test_tokens_need_the_scopes_of_groups() -> None:
    with NodeBox.temporary() as box:
        box.start_node("--listen", "tcp://127.0.0.1:0")
        url = box.listening("tcp")
        box.run("group", "create", "ops", "--me", "alice", "--bus")

        def token(*scopes: str) -> str:
            words = [word for scope in scopes for word in ("--scope", scope)]
            return box.run("token", "mint", "--sub", "carol", *words).stdout.decode().strip()

        with holdfast.connect_sync(url, token=token("groups:read")) as node:
            assert [info.spec.me for info in node.groups.list()] == ["alice"]
            with pytest.raises(PermissionDenied):
                node.groups.group("ops").send("x")
        with holdfast.connect_sync(url, token=token("groups:write")) as node:
            assert node.groups.group("ops").send("x").index == 1
            with pytest.raises(PermissionDenied):
                node.groups.list()
        with holdfast.connect_sync(url, token=token("channels:read")) as node, pytest.raises(PermissionDenied):
            node.groups.list()
