"""The command itself: its birth on a terminal or on pipes, and what can be done to it.

Birth has two steps so that nothing is ever started twice: :func:`prepare` forks a child that waits,
:meth:`Prepared.release` lets it become the command.  In between the keeper writes down the child's pid; should
it die before the release, the child leaves without having become anything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import termios
from typing import NamedTuple, NoReturn

from ...errors import CommandNotExecutable, CommandNotFound, HoldfastError, UsageError
from ...procinfo import UNLIMITED
from .certificate import Certificate
from .daemon import reset_signals

STDOUT = 0
"""Tag of what comes from the terminal or standard output."""
STDERR = 1
"""Tag of what comes from standard error."""
PIPE_BYTES = 1 << 20
"""Size a pipe is given once it was found full: fewer, larger reads.  Not before: the kernel counts pipe memory
per user and gives one who used up the allowance tiny pipes."""

_FOREGROUND_SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGWINCH})
_F_SETPIPE_SZ = 1031
_DESCRIPTORS_MAX = 1 << 20


class Command:
    """A running command as its keeper sees it."""

    __slots__ = ("hung_up", "input_fd", "outputs", "pid", "tty")

    def __init__(self, pid: int, *, tty: bool, input_fd: int, outputs: dict[int, int]) -> None:
        self.pid = pid
        self.tty = tty
        self.input_fd = input_fd
        """Where its input is written, non-blocking; -1 once closed."""
        self.outputs = outputs
        """What its output is read from, non-blocking: descriptor to tag."""
        self.hung_up = False
        """Nobody had its terminal open when last looked; it waits open for who may come back to it."""

    def send_signal(self, number: int) -> None:
        """Signal the terminal's foreground group (for what its keys would send) or the command's own group."""
        group = self.foreground_group() if number in _FOREGROUND_SIGNALS else self.pid
        _signal_group(group, number)

    def send_signal_to_all(self, number: int) -> None:
        """Signal the command's own group and, if another is in the terminal's foreground, that one too."""
        for group in {self.pid, self.foreground_group()}:
            _signal_group(group, number)

    def foreground_group(self) -> int:
        """The process group in the terminal's foreground; the command's own where there is none."""
        if self.tty and self.input_fd >= 0:
            try:
                return os.tcgetpgrp(self.input_fd) or self.pid
            except OSError:
                pass
        return self.pid

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size; the kernel tells the foreground group.  UsageError without a terminal."""
        if not self.tty:
            raise UsageError("this job has no terminal", field="rows")
        if self.input_fd >= 0:
            termios.tcsetwinsize(self.input_fd, (rows, columns))

    def end_of_file_byte(self) -> bytes:
        """What a user of the terminal would type for end-of-file."""
        characters = termios.tcgetattr(self.input_fd)[6]
        byte = characters[termios.VEOF]
        return byte if isinstance(byte, bytes) else b"\x04"

    def close_input(self) -> None:
        """No more input; on a terminal, which is both, no more output either."""
        if self.input_fd >= 0:
            if self.tty:
                self.outputs.pop(self.input_fd, None)
            os.close(self.input_fd)
            self.input_fd = -1

    def close_output(self, fd: int) -> None:
        """Stop reading ``fd``."""
        if self.outputs.pop(fd, None) is None:
            return
        if fd == self.input_fd:
            self.input_fd = -1
        os.close(fd)


class Prepared(NamedTuple):
    """A child that waits to become the command."""

    command: Command
    name: str
    cwd: str
    go_fd: int
    error_fd: int

    def release(self) -> Command:
        """Let it go; the command, running.

        Raises CommandNotFound, CommandNotExecutable or UsageError(field="cwd"), with the child gone and every
        descriptor closed.  Blocks until the kernel has executed the program or refused to.
        """
        os.write(self.go_fd, b"g")
        os.close(self.go_fd)
        told = b""
        while part := os.read(self.error_fd, 4096):
            told += part
        os.close(self.error_fd)
        if told:
            self._bury()
            raise self._error(told)
        return self.command

    def abandon(self) -> None:
        """Let it leave without having become anything."""
        os.close(self.go_fd)
        os.close(self.error_fd)
        self._bury()

    def _bury(self) -> None:
        os.waitpid(self.command.pid, 0)
        for fd in list(self.command.outputs):
            self.command.close_output(fd)
        self.command.close_input()

    def _error(self, told: bytes) -> HoldfastError:
        stage, number = told.split(b" ", 1)
        code = int(number)
        text = os.strerror(code)
        if stage == b"cwd":
            return UsageError(f"cwd: {self.cwd}: {text}", field="cwd")
        if code in (errno.ENOENT, errno.ENOTDIR):
            return CommandNotFound(command=self.name)
        if code == errno.E2BIG:
            return UsageError(f"command: {text}", field="command")
        return CommandNotExecutable(f"{self.name}: cannot be executed: {text}", command=self.name)


def prepare(certificate: Certificate) -> Prepared:
    """Fork the child that will become ``certificate``'s command, with its terminal or pipes.

    Raises OSError if the system will not give a process, a terminal or a pipe.
    """
    ends = _open_terminal(certificate) if certificate.tty else _open_pipes()
    go_read, go_write = os.pipe()
    error_read, error_write = os.pipe()
    pid = os.fork()
    if not pid:
        _become(certificate, ends, go_read, error_write)
    for fd in {*ends.child, go_read, error_write}:
        os.close(fd)
    for fd in {ends.input_fd, *ends.outputs}:
        os.set_blocking(fd, False)
    command = Command(pid, tty=certificate.tty, input_fd=ends.input_fd, outputs=ends.outputs)
    return Prepared(command, certificate.command[0], certificate.cwd, go_write, error_read)


def grow_pipe(fd: int) -> None:
    """Make the pipe ``fd`` larger where the system can and allows it."""
    try:
        fcntl.fcntl(fd, _F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass


class _Ends(NamedTuple):
    """Both sides of the command's descriptors."""

    child: tuple[int, ...]
    """The terminal, or standard input, output and error."""
    input_fd: int
    outputs: dict[int, int]


def _open_terminal(certificate: Certificate) -> _Ends:
    ours, theirs = os.openpty()
    if certificate.rows and certificate.columns:
        termios.tcsetwinsize(ours, (certificate.rows, certificate.columns))
    return _Ends((theirs,), ours, {ours: STDOUT})


def _open_pipes() -> _Ends:
    stdin_read, stdin_write = os.pipe()
    stdout_read, stdout_write = os.pipe()
    stderr_read, stderr_write = os.pipe()
    return _Ends((stdin_read, stdout_write, stderr_write), stdin_write, {stdout_read: STDOUT, stderr_read: STDERR})


def _become(certificate: Certificate, ends: _Ends, go_read: int, error_write: int) -> NoReturn:
    """In the child: wait for the release, then become the command, or tell why not."""
    stage = b"exec"
    try:
        reset_signals()
        os.close(ends.input_fd)
        if not os.read(go_read, 1):
            os._exit(0)
        if certificate.tty:
            os.login_tty(ends.child[0])
        else:
            os.setsid()
            for target, fd in enumerate(ends.child):
                os.dup2(fd, target)
        stage = b"cwd"
        os.chdir(certificate.cwd)
        stage = b"exec"
        os.umask(certificate.umask)
        _set_soft_limits(certificate.ulimits)
        os.closerange(3, error_write)
        os.closerange(error_write + 1, _DESCRIPTORS_MAX)
        os.execvpe(certificate.command[0], certificate.command, certificate.env)
    except OSError as error:
        os.write(error_write, b"%s %d" % (stage, error.errno or errno.EIO))
    except BaseException:  # noqa: BLE001 - nothing may get out of this child alive
        os.write(error_write, b"%s %d" % (stage, errno.EINVAL))
    finally:
        os._exit(127)


def _set_soft_limits(limits: dict[str, int]) -> None:
    """Give this process these soft limits, none above its hard limit.  What the system refuses stays as it is."""
    for name, wanted in limits.items():
        number = getattr(resource, "RLIMIT_" + name.upper(), None)
        if number is None:
            continue
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY and (wanted == UNLIMITED or wanted > hard):
            soft = hard
        else:
            soft = resource.RLIM_INFINITY if wanted == UNLIMITED else wanted
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError):
            pass


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        # macOS says so of a group of zombies; elsewhere the group runs as somebody else by its own doing.
        pass
