"""The node's side of a keeper's birth: the zygote it keeps, and the cold start for when that fails.

A command is never started twice.  The keeper makes its runtime directory first and writes ``keeper.json``
before it lets the command go (see ``keeper/main.py``); so when readiness ends without a word, that file says
whether the command was started, and only if it was not is a birth tried again.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import structlog

from ..errors import DeadlineExceeded, InternalError, StorageError, from_wire
from ..limits import LIMITS
from .keeper.certificate import encode
from .keeper.records import BirthReceipt, read_birth
from .keeper.zygote import REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..limits import Limits
    from .keeper.certificate import Certificate

_logger = structlog.get_logger("holdfast.jobs")

READINESS_BYTES_MAX = 64 * 1024
"""A readiness line is a few hundred bytes; an error's details may be longer."""
STOP_S = 5.0
"""How long a zygote may take to leave when its socket ends; then it is killed."""
_KEPT_VARIABLES = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""All that keepers get of the node's environment, which may hold secrets."""
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from holdfast.jobs.keeper.{module} import {function}; {function}()"
)


class Midwife:
    """Has keepers born.  One per node; use on one event loop.

    ``limits``: ``birth_s`` counts here.  ``warm``: keep a zygote; without, each birth starts a Python.
    """

    def __init__(self, limits: Limits = LIMITS, *, warm: bool = True) -> None:
        self._birth_s = limits.birth_s
        self._warm = warm
        self._zygote: _Zygote | None = None
        self._leaving: list[subprocess.Popen[bytes]] = []
        self._stopped = False

    @property
    def zygote_pid(self) -> int:
        """The zygote's process; 0 while there is none."""
        return self._zygote.pid if self._zygote is not None and self._zygote.alive else 0

    async def start(self) -> None:
        """Start the zygote, so that the first birth is a warm one.  Does not wait for it."""
        if self._warm:
            self._ready_zygote()

    async def stop(self) -> None:
        """Let the zygote go; keepers live on.  Idempotent."""
        self._stopped = True
        self._dismiss_zygote()
        deadline = asyncio.get_running_loop().time() + STOP_S
        while self._reap():
            if asyncio.get_running_loop().time() > deadline:
                for process in self._leaving:
                    process.kill()
            await asyncio.sleep(0.005)

    async def birth(self, certificate: Certificate) -> BirthReceipt:
        """Start ``certificate``'s command under a keeper of its own; the receipt once the command runs.

        Raises CommandNotFound, CommandNotExecutable, UsageError, AlreadyExists, StorageError or InternalError with
        nothing left behind.  Raises DeadlineExceeded(phase="birth") if nothing was heard: then, as after a
        cancellation, the command may yet start, and ``keeper.json`` in the runtime directory tells.
        """
        self._reap()
        data = encode(certificate)
        try:
            async with asyncio.timeout(self._birth_s):
                for start in (self._start_warm, self._start_cold)[not self._warm :]:
                    receipt = await self._try(start, certificate, data)
                    if receipt is not None:
                        return receipt
        except TimeoutError:
            raise DeadlineExceeded(
                f"the keeper of job {certificate.job} did not say within {self._birth_s:g} s whether it started",
                phase="birth",
                after_s=self._birth_s,
            ) from None
        raise InternalError(f"the keeper of job {certificate.job} died before it could start the command")

    async def _try(
        self, start: Callable[[int, int], bool], certificate: Certificate, data: bytes
    ) -> BirthReceipt | None:
        """One birth by ``start``; None if certainly nothing was started, so that another way may be tried."""
        certificate_read, certificate_write = os.pipe()
        ready_read, ready_write = os.pipe()
        ours = {certificate_read, certificate_write, ready_read, ready_write}
        try:
            if not start(certificate_read, ready_write):
                return None
            _close(ours, certificate_read, ready_write)
            await _feed(certificate_write, data)
            _close(ours, certificate_write)
            line = await _read_line(ready_read)
        finally:
            _close(ours, *ours)
        return self._understand(line, certificate)

    def _understand(self, line: bytes, certificate: Certificate) -> BirthReceipt | None:
        if line:
            body: dict[str, Any] = json.loads(line)
            if not body.pop("ok"):
                raise from_wire(body["error"])
            return BirthReceipt(**body)
        # Nobody holds the other end any more: whoever was to be the keeper is dead, or was never born.
        receipt = read_birth(certificate.runtime_dir)
        _logger.warning("keeper.birth_cut", job=certificate.job, started=receipt is not None)
        if receipt is None:
            for directory in (certificate.runtime_dir, certificate.spill_dir):
                shutil.rmtree(directory, ignore_errors=True)
        return receipt

    # two ways

    def _start_warm(self, certificate_fd: int, ready_fd: int) -> bool:
        zygote = self._ready_zygote()
        if zygote is not None and zygote.request(certificate_fd, ready_fd):
            return True
        self._dismiss_zygote()
        zygote = self._ready_zygote()
        return zygote is not None and zygote.request(certificate_fd, ready_fd)

    def _start_cold(self, certificate_fd: int, ready_fd: int) -> bool:
        try:
            process = _spawn("main", "cold", ready_fd, stdin=certificate_fd)
        except OSError as error:
            raise StorageError(f"a keeper's process cannot be started: {error.strerror}") from error
        self._leaving.append(process)
        return True

    def _ready_zygote(self) -> _Zygote | None:
        if self._zygote is not None and not self._zygote.alive:
            _logger.warning("keeper.zygote_died", pid=self._zygote.pid)
            self._dismiss_zygote()
        if self._zygote is None and not self._stopped:
            try:
                self._zygote = _Zygote()
            except OSError as error:
                _logger.warning("keeper.zygote_not_started", error=str(error))
        return self._zygote

    def _dismiss_zygote(self) -> None:
        if self._zygote is not None:
            self._leaving.append(self._zygote.dismiss())
            self._zygote = None

    def _reap(self) -> bool:
        """Collect processes that have left; whether some have not."""
        self._leaving = [process for process in self._leaving if process.poll() is None]
        return bool(self._leaving)


class _Zygote:
    """The running zygote and the socket it takes requests from."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._process = _spawn("zygote", "main", theirs.fileno(), stdin=subprocess.DEVNULL)
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._socket.setblocking(False)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs; once it does not, it never will again."""
        return self._process.poll() is None

    def request(self, certificate_fd: int, ready_fd: int) -> bool:
        """Hand it the two descriptors; False if it certainly did not get them."""
        ends = array.array("i", (certificate_fd, ready_fd))
        try:
            return self._socket.sendmsg([REQUEST], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ends)]) == len(REQUEST)
        except OSError as error:
            _logger.warning("keeper.zygote_refused", pid=self.pid, error=str(error))
            return False

    def dismiss(self) -> subprocess.Popen[bytes]:
        """End its socket, upon which it leaves; its process, to be reaped."""
        self._socket.close()
        return self._process


def _spawn(module: str, function: str, fd: int, *, stdin: int) -> subprocess.Popen[bytes]:
    """A Python that knows nothing but the standard library and this package; ``fd`` is passed on, and named last."""
    package_dir = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    boot = _BOOT.format(module=module, function=function)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", boot, package_dir, str(fd)],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        pass_fds=(fd,),
    )


def _close(ours: set[int], *fds: int) -> None:
    for fd in fds:
        ours.remove(fd)
        os.close(fd)


async def _feed(fd: int, data: bytes) -> None:
    """Write all of ``data`` to the pipe ``fd``; gives up if nobody will read it."""
    os.set_blocking(fd, False)
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, writing=True)
        except BrokenPipeError:
            return


async def _read_line(fd: int) -> bytes:
    """What comes from the pipe ``fd`` up to its first newline; empty if it ends before one."""
    os.set_blocking(fd, False)
    told = b""
    while b"\n" not in told:
        try:
            part = os.read(fd, READINESS_BYTES_MAX)
        except BlockingIOError:
            await _ready(fd, writing=False)
            continue
        if not part or len(told) > READINESS_BYTES_MAX:
            return b""
        told += part
    return told.partition(b"\n")[0]


async def _ready(fd: int, *, writing: bool) -> None:
    """Wait until ``fd`` can be read or written; safe to cancel."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(fd)
