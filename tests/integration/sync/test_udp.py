"""Groups over real sockets: two processes on loopback, and three hosts on a network of the test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MESSAGES = 1000
MULTICAST_MESSAGES = 100
GUARD_S = 100


def start(part: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "party.py"), json.dumps(part)]
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
def test_two_processes_that_lose_every_fifth_datagram_have_every_message_once_and_in_order() -> None:
    parts = [
        {"me": me, "transport": {"listen": "127.0.0.1:0"}, "send": MESSAGES, "expect": {other: MESSAGES},
         "drop": 0.2, "seed": seed}
        for me, other, seed in (("alice", "bob", 1), ("bob", "alice", 2))
    ]  # fmt: skip
    processes = [start(part) for part in parts]
    try:
        addresses = [heard(process)["address"] for process in processes]
        for process, address in zip(processes, reversed(addresses), strict=True):
            tell(process, json.dumps([address]))
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


def namespaces() -> list[str]:
    """The words before a command that give it a network of its own; skips where that may not be."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip(
            "unshare, nsenter and ip make the hosts of this test; on Debian: apt-get install util-linux iproute2"
        )
    words = ["unshare", "--user", "--map-root-user", "--net"]
    tried = subprocess.run(
        [*words, "ip", "link", "add", "try", "type", "bridge"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"this machine gives no network namespace with a bridge: {tried.stderr.strip()}")
    return words


@pytest.mark.timeout(GUARD_S + 20)
def test_three_hosts_hear_each_other_by_multicast_though_datagrams_are_lost() -> None:
    words, names = namespaces(), ["alice", "bob", "carol"]
    parts = [
        {
            "me": me,
            "transport": {"multicast": "239.192.7.3:7946", "interface": f"10.77.0.{number}"},
            "send": MULTICAST_MESSAGES,
            "expect": {name: MULTICAST_MESSAGES for name in names if name != me},
            "drop": 0.1,
            "seed": number,
            "size": 2000 if me == "bob" else 0,
        }
        for number, me in enumerate(names, 1)
    ]
    command = [*words, sys.executable, str(HERE / "switch.py"), json.dumps(parts)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as switch:
        try:
            for part in parts:
                report = heard(switch)
                assert report["trouble"] == []
                assert report["has"] == part["expect"]
                assert report["counts"]["lost"] == 0
            assert switch.wait(GUARD_S) == 0
        finally:
            switch.kill()
