"""The life of a keeper from its first breath: certificate, directories, socket, command, readiness, loop.

Nothing is ever started twice.  The runtime directory is made by the keeper, exclusively, before anything
else: who finds it there gives up.  ``keeper.json`` is written while the command's process still waits: once
it is there the command may run; if it is not there and the keeper is gone, the command never ran.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
import time

from ...clock import RealClock
from ...errors import AlreadyExists, HoldfastError, InternalError, StorageError, UsageError, to_wire
from ...rpc.connection import Connection
from ...rpc.handshake.job_link import JobLinkKeeper
from ...rpc.states import Role
from ...streams.sender import OutputSender
from .certificate import SECRET_BYTES, Certificate, decode, encode
from .command import Command, Prepared, prepare
from .daemon import Log, default_signals, detach, settle_in
from .ending import Ending
from .input import Input
from .input_queue import InputQueue
from .keeper import Keeper
from .link import Link
from .output import Output
from .records import BIRTH, LOG, SOCKET, BirthReceipt, birth_receipt, write_birth
from .spill import SpillBuffer
from .watch import Watch

CERTIFICATE_BYTES_MAX = 4 << 20
"""Far above any command line and environment the kernel takes."""
_MODE = 0o700


def live(certificate_fd: int, ready_fd: int) -> None:
    """Be the keeper of the job whose certificate comes from ``certificate_fd``, until it is over.

    One JSON line on ``ready_fd`` tells whether the command runs.  If it does not, nothing is left behind.
    """
    os.umask(0o077)
    nest: Nest | None = None
    try:
        certificate = decode(_read_all(certificate_fd))
        nest = Nest(certificate)
        keeper, receipt = nest.settle()
    except (HoldfastError, OSError) as error:
        if nest is not None:
            nest.remove()
        _tell(ready_fd, {"ok": False, "error": to_wire(_presentable(error))})
        return
    _tell(ready_fd, {"ok": True, **receipt._asdict()})
    keeper.run()
    if keeper.released:
        nest.remove()


def cold() -> None:
    """Start without a zygote: certificate on standard input, the readiness descriptor's number in argv."""
    default_signals()
    ready_fd = int(sys.argv[-1])
    os.waitpid(detach(lambda: live(0, ready_fd)), 0)


def rehearse() -> None:
    """Touch what a birth will touch: in a process fresh from a fork, each page written first costs a fault."""
    certificate = decode(encode(Certificate("rehearsal", bytes(SECRET_BYTES), ["true"], "/", "/")))
    json.dumps({"ok": True, **birth_receipt(os.getpid(), time.time())._asdict()})
    buffer = SpillBuffer("/", ring_bytes=1, spill_bytes_max=0, segment_bytes=1)
    with selectors.DefaultSelector() as selector:
        terminal = os.openpty()
        command = Command(0, tty=True, input_fd=terminal[0], outputs={terminal[0]: 0})
        watch, sender = Watch(selector), OutputSender(buffer)
        Output(command, sender, buffer, watch)
        Input(command, InputQueue(1, 1, 1.0), watch, lambda item, error: None)
        Ending(command, time.time)
        authenticator = JobLinkKeeper(certificate.job, certificate.secret, os.urandom)
        Connection(Role.SERVER, authenticator, now=0.0)
        for fd in terminal:
            os.close(fd)


class Nest:
    """A job's directories and socket, and how they come to be and go."""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        self._made: list[str] = []
        self._prepared: Prepared | None = None

    def settle(self) -> tuple[Keeper, BirthReceipt]:
        """Make them and start the command in them.

        Raises AlreadyExists if the runtime directory is there, UsageError if its path is too long, StorageError,
        and what :meth:`Prepared.release` raises.
        """
        certificate = self._certificate
        self._make(certificate.runtime_dir)
        self._make(certificate.spill_dir)
        settle_in(os.path.join(certificate.runtime_dir, LOG))
        log = Log()
        selector = selectors.DefaultSelector()
        path = os.path.join(certificate.runtime_dir, SOCKET)
        link = Link(path, certificate, selector, RealClock(), log)
        self._prepared = prepare(certificate)
        receipt = birth_receipt(self._prepared.command.pid, time.time())
        write_birth(certificate.runtime_dir, certificate.job, receipt)
        prepared, self._prepared = self._prepared, None
        command = prepared.release()
        return Keeper(certificate, command, receipt, selector, link, log=log), receipt

    def remove(self) -> None:
        """Remove what :meth:`settle` made; a command that waits to be released never will be."""
        if self._prepared is not None:
            self._prepared.abandon()
        for directory in self._made:
            remove_directory(directory)

    def _make(self, path: str) -> None:
        try:
            os.mkdir(path, _MODE)
        except FileExistsError:
            job = self._certificate.job
            raise AlreadyExists(f"{path} is there: job {job} was born before", "job", job, path) from None
        self._made.append(path)


def remove_directory(path: str) -> None:
    """Remove a flat directory and what is in it; the note of birth goes first, so that a torn removal is no job."""
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in sorted(names, key=lambda name: name != BIRTH):
        try:
            os.unlink(os.path.join(path, name))
        except OSError:
            pass
    try:
        os.rmdir(path)
    except OSError:
        pass


def _presentable(error: HoldfastError | OSError) -> HoldfastError:
    if isinstance(error, HoldfastError):
        return error
    if error.filename is not None:
        return StorageError(f"{error.filename}: {error.strerror}")
    return InternalError(f"the keeper could not be born: {error.strerror}")


def _read_all(fd: int) -> bytes:
    """Everything from ``fd`` to its end; UsageError beyond the limit."""
    parts = []
    room = CERTIFICATE_BYTES_MAX
    while part := os.read(fd, 1 << 16):
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise UsageError(f"certificate: over {CERTIFICATE_BYTES_MAX} bytes", field="certificate")
    os.close(fd)
    return b"".join(parts)


def _tell(ready_fd: int, body: dict[str, object]) -> None:
    """Whoever asked may be gone; the job is there all the same, and ``keeper.json`` says so."""
    try:
        os.write(ready_fd, json.dumps(body).encode() + b"\n")
    except BrokenPipeError:
        pass
    os.close(ready_fd)
