"""Groups over a real NATS server: two processes on one bus, as two hosts would be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.natsbox import NatsServer

PARTY = Path(__file__).parent / "party.py"
MESSAGES = 200
GUARD_S = 60


def start(part: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, str(PARTY), json.dumps(part)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"a party ended with {process.wait()}"
    value: dict[str, Any] = json.loads(line)
    return value


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


@pytest.mark.timeout(GUARD_S + 20)
def test_two_hosts_on_a_bus_that_loses_every_fifth_message_have_every_one_once_and_in_order() -> None:
    with NatsServer.temporary() as server:
        bus = {"url": server.url, "prefix": "group"}
        parts = [
            {"me": me, "bus": bus, "send": MESSAGES, "expect": {other: MESSAGES}, "drop": 0.2, "seed": seed}
            for me, other, seed in (("alice", "bob", 1), ("bob", "alice", 2))
        ]
        processes = [start(part) for part in parts]
        try:
            for process in processes:
                heard(process)
            for process in processes:
                tell(process, "[]")
            for process, part in zip(processes, parts, strict=True):
                report = heard(process)
                assert report["trouble"] == []
                assert report["has"] == part["expect"]
                assert report["state"] == "synced"
                assert report["counts"]["sent"] == report["counts"]["delivered"] == MESSAGES
                assert report["counts"]["lost"] == 0
            for process in processes:
                tell(process, "")
                assert process.wait(GUARD_S) == 0
        finally:
            for process in processes:
                process.kill()
                process.communicate()
