"""Nodes whose state is on a NATS server: jobs and channels through the deaths of both, and on to another machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from random import Random
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

import holdfast
from holdfast.natsbox import NatsServer
from holdfast.testing import NodeBox, wait_until
from tests.integration.test_survival import MIB, digest, logged, start_writer, store_at_least

QUICK = {"HOLDFAST_LIMIT_NATS_RECONNECT_S": "50ms", "HOLDFAST_LIMIT_NATS_REQUEST_S": "1s"}


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer.temporary() as made:
        yield made


def options(server: NatsServer) -> tuple[str, ...]:
    return ("--engine", "nats", "--nats-url", server.url, "--nats-prefix", "crew")


_PACE_S = 0.005
"""Leaves the machine something for the job's output."""


class Sender(threading.Thread):
    """Appends numbers to a channel, each until it is acknowledged, whatever dies meanwhile."""

    def __init__(self, box: NodeBox) -> None:
        super().__init__()
        self.box = box
        self.sent = 0
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            try:
                with holdfast.connect_sync(self.box.url, autostart=False) as node:
                    self.append(node.channels.get("p/chat"))
            except (ConnectionError, TimeoutError, holdfast.StorageError):
                continue

    def goes_on(self) -> None:
        """Wait until it has."""
        goal = self.sent + 20
        wait_until(lambda: self.sent > goal, "the channel goes on")

    def append(self, channel: holdfast.SyncChannel) -> None:
        while not self.enough.is_set():
            channel.append(b"%d" % self.sent, sequence=self.sent + 1)
            self.sent += 1
            self.enough.wait(_PACE_S)


def test_jobs_and_channels_through_deaths_of_node_and_server(box: NodeBox, server: NatsServer) -> None:
    box.env |= QUICK
    box.start_node(*options(server))
    total, seen = 24 * MIB, 0
    start_writer(box, total)
    with holdfast.connect_sync(box.url, autostart=False) as node:
        node.channels.create("p", "chat", entries_max=10_000_000, rate_per_s=1e9, burst=1_000_000_000)
    sender, random = Sender(box), Random(2)
    sender.start()
    try:
        for number in range(4):
            seen = store_at_least(box, min(seen + random.randrange(MIB, 4 * MIB), total))
            if number % 2:
                server.kill()
                server.start()
            else:
                box.kill_node()
                box.start_node(*options(server))
            sender.goes_on()
        box.run("wait", "w")
    finally:
        sender.enough.set()
        sender.join()
    info = box.inspect("w")
    assert (info["gap_bytes"], info["output_bytes"]) == (0, total + 64)
    assert logged(box, "w") == (digest(total), total, digest(total))
    with holdfast.connect_sync(box.url, autostart=False) as node:
        entries = [entry.payload for entry in node.channels.get("p/chat").read()]
    assert entries[: sender.sent] == [b"%d" % number for number in range(sender.sent)]
    assert len(entries) <= sender.sent + 1  # one may have been stored and not acknowledged


def test_it_goes_on_elsewhere(server: NatsServer) -> None:
    with NodeBox.temporary() as first, NodeBox.temporary() as second:
        first.start_node(*options(server))
        job = first.run("run", "-d", "--", "echo", "kept").stdout.decode().strip()
        first.run("wait", job)
        refused = second.run("serve", *options(server), code=None)
        assert refused.returncode and b"in use by pid" in refused.stderr
        first.kill_node()
        second.start_node(*options(server))
        assert second.run("logs", job).stdout == b"kept\n"
        assert second.inspect(job)["exit_code"] == 0


def test_output_that_is_on_its_way_to_servers_that_are_away_holds_nobody_up(box: NodeBox, server: NatsServer) -> None:
    box.env |= QUICK
    box.start_node(*options(server))
    go, gone = box.directory / "go", box.directory / "gone"
    script = f"echo one; until [ -e {go} ]; do sleep 0.02; done; echo two; touch {gone}; exec cat"
    name = box.run("run", "-d", "--", "sh", "-c", script).stdout.decode().strip()
    wait_until(lambda: box.run("logs", name).stdout == b"one\n", "the first line is stored")
    server.kill()
    go.touch()
    wait_until(gone.exists, "the second line is on its way")
    for _ in range(3):  # the node has it after the first look at the latest
        assert box.run("logs", name).stdout == b"one\n"
    server.start()
    wait_until(lambda: box.run("logs", name).stdout == b"one\ntwo\n", "the second line is stored")


def test_who_was_replaced_ends(server: NatsServer) -> None:
    with NodeBox.temporary() as first, NodeBox.temporary() as second:
        second.env |= {"HOLDFAST_LIMIT_NATS_LEASE_S": "300ms"}
        first.start_node(*options(server))
        assert first.node is not None
        os.kill(first.node.pid, signal.SIGSTOP)
        second.start_node(*options(server))
        os.kill(first.node.pid, signal.SIGCONT)
        assert first.node.wait() == 125
        assert "taken over the deployment 'crew'" in (first.directory / "node.err").read_text()
        second.run("run", "--", "true")


def test_ready_says_whether_the_servers_are_there(box: NodeBox, server: NatsServer) -> None:
    def ready() -> int:
        try:
            with urlopen(url, timeout=30) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    box.env |= QUICK
    box.start_node(*options(server), "--http", "127.0.0.1:0")
    url = box.listening("http") + "/readyz"
    assert ready() == 200
    server.kill()
    assert ready() == 503
    server.start()
    wait_until(lambda: ready() == 200, "the node is ready again")


def test_what_cannot_be(box: NodeBox, server: NatsServer) -> None:
    box.state_dir.mkdir(mode=0o700, exist_ok=True)
    secret = server.url.replace("//", "//user:secret@")
    refused = box.run("serve", "--engine", "nats", "--nats-url", secret, code=None)
    assert b"HOLDFAST_NATS_PASSWORD_FILE" in refused.stderr and b"secret" not in refused.stderr
    refused = box.run("serve", "--nats-url", server.url, code=125)
    assert b"--engine nats" in refused.stderr
    refused = box.run("serve", *options(server)[:4], "--nats-prefix", "a.b", code=None)
    assert b"nats prefix" in refused.stderr
