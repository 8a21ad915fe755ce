"""Three hosts and a switch between them, in network namespaces of our own; run by ``test_udp.py`` under unshare.

Each host runs ``party.py``.  A line on our input begins it, the end of our input ends it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PARTY = Path(__file__).with_name("party.py")


def ip(*words: str, host: int | None = None) -> None:
    inside = [] if host is None else ["nsenter", "-t", str(host), "-n"]
    subprocess.run([*inside, "ip", *words], check=True)


def main(parts: list[dict[str, object]]) -> None:
    ip("link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
    ip("link", "set", "switch", "up")
    hosts = []
    for number, part in enumerate(parts, 1):
        waiting = ["unshare", "-n", "sh", "-c", 'echo; read _; exec "$0" "$@"', sys.executable, str(PARTY)]
        host = subprocess.Popen([*waiting, json.dumps(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        hosts.append(host)
        assert host.stdout is not None and host.stdin is not None
        host.stdout.readline()  # it is in its namespace
        ip("link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
        ip("link", "set", f"port{number}", "master", "switch", "up")
        ip("addr", "add", f"10.77.0.{number}/24", "dev", "eth0", host=host.pid)
        ip("link", "set", "eth0", "up", host=host.pid)
        ip("route", "add", "224.0.0.0/4", "dev", "eth0", host=host.pid)
    for host in hosts:
        assert host.stdin is not None
        host.stdin.write("\n[]\n")
        host.stdin.flush()
    for host in hosts:
        assert host.stdout is not None
        host.stdout.readline()  # its address
        sys.stdout.write(host.stdout.readline())
        sys.stdout.flush()
    for host in hosts:
        host.communicate()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
