"""The node as a process: event loop, signals, log, and word to whoever started it that it is ready."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import structlog

from ..clock import RealClock
from ..errors import HoldfastError, to_wire
from ..settings import limits_from
from .listening import ListenOptions
from .node import EngineKind, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.nats.options import NatsOptions
    from ..paths import Places

_logger = structlog.get_logger("holdfast.node")

_GC_THRESHOLDS = (50_000, 20, 100)
"""The node makes many lasting objects and few cycles; collecting less often read entries up to 1.4 times faster."""
DRAIN_S = 5.0
"""How long calls under way may take after SIGTERM before they are cut."""


def configure_log(*, json_lines: bool) -> None:
    """One line an event on standard error: for people on a terminal, JSON elsewhere."""
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer()
    log: Any = PatientLog(sys.stderr.fileno())
    structlog.configure(processors=[*processors, render], logger_factory=structlog.PrintLoggerFactory(log))


class PatientLog:
    """Takes lines also when they cannot be written to ``fd``: a full disk ends the log for a while and nothing else.

    What could not be written is counted, and the next line that can be says how many are missing.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._line = ""
        self._left_out = 0
        self._torn = b""

    def write(self, text: str) -> int:
        """Write ``text`` when its line is complete.  Never raises for what the file does."""
        self._line += text
        if text.endswith("\n"):
            line, self._line = self._line.encode(errors="replace"), ""
            self._put(line)
        return len(text)

    def _put(self, line: bytes) -> None:
        if self._left_out:
            line = self._torn + json.dumps({"event": "log.left_out", "lines": self._left_out}).encode() + b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError:
            written = 0
        if written == len(line):
            self._left_out, self._torn = 0, b""
            return
        self._left_out += 1
        if written:
            self._torn = b"\n"

    def flush(self) -> None:
        """Nothing waits here but the beginning of a line."""


def serve(
    places: Places,
    *,
    ready_fd: int | None = None,
    options: ListenOptions = ListenOptions(),  # noqa: B008 - frozen
    engine: EngineKind = "sqlite",
    nats: Mapping[str, str] | None = None,
) -> None:
    """Run a node until SIGTERM or SIGINT, or until another one replaced it: StorageError.  Blocks.

    ``ready_fd`` gets one JSON line when the node is ready, ``{"ok": true, ...}``, or why it is not; the
    error is raised here too.  ``nats`` is what the command line says of the NATS servers; the environment says the
    rest.
    """
    configure_log(json_lines=not sys.stderr.isatty())
    os.umask(0o077)
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(places, ready_fd, options, engine, nats or {}))
    except HoldfastError as error:
        _tell(ready_fd, {"ok": False, "error": to_wire(error)})
        raise


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(
    places: Places, ready_fd: int | None, options: ListenOptions, engine: EngineKind, nats: Mapping[str, str]
) -> None:
    servers = _nats_options(nats) if engine == "nats" else None
    node = Node(places, clock=RealClock(), limits=limits_from(), options=options, engine=engine, nats=servers)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stopping.set)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    await node.open()
    try:
        shown = node.certificate
        if shown is not None and shown.fingerprint:
            _logger.info("node.self_signed", certificate=shown.cert_file, fingerprint=shown.fingerprint)
        _tell(ready_fd, {"ok": True, "pid": os.getpid(), "url": places.url, **_told(node)})
        await node.stopping.wait()
        await node.drain(DRAIN_S)
    finally:
        await node.close()
    if node.failure is not None:
        raise node.failure


def _nats_options(given: Mapping[str, str]) -> NatsOptions:
    from ..engine.nats.options import check_public, options_from

    check_public(given.get("url", ""))
    return options_from({**given})


def _told(node: Node) -> dict[str, Any]:
    """What whoever started us on other addresses wants to know."""
    shown = node.certificate
    told: dict[str, Any] = {"listening": node.listening}
    if shown is not None and shown.fingerprint:
        told |= {"certificate": shown.cert_file, "fingerprint": shown.fingerprint}
    return told


def _tell(ready_fd: int | None, body: dict[str, Any]) -> None:
    if ready_fd is None:
        return
    try:
        os.write(ready_fd, json.dumps(body).encode() + b"\n")
        os.close(ready_fd)
    except OSError:
        return  # whoever started us is gone; we serve all the same
