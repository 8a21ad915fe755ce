"""Which process a pid means: a pid alone may have been given to another process since.

Shared by the keeper, which records who it and its command are, and by the node, which asks later whether
they still are.
"""

from __future__ import annotations

import os
import sys

_BSD_INFO_FLAVOR = 3
_BSD_INFO_BYTES = 136
_BSD_START_AT = 120


def process_start_time(pid: int) -> float:
    """When ``pid`` started: seconds since boot on Linux, since the epoch on macOS; 0.0 if that cannot be told.

    The same process always gives the same number, so two readings may be compared with ``==``.
    """
    if sys.platform == "linux":
        fields = _stat_fields(pid)
        return int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else 0.0
    if sys.platform == "darwin":
        return _start_time_darwin(pid)
    return 0.0


def process_alive(pid: int, started: float) -> bool:
    """Whether the process ``pid`` that started at ``started`` still runs; a zombie does not.

    A ``started`` of 0.0 means unknown: then any process of that pid counts.
    """
    if pid <= 0:
        return False
    if sys.platform == "linux":
        fields = _stat_fields(pid)
        if not fields or fields[0] in ("Z", "X"):
            return False
    elif not _exists(pid):
        return False
    return not started or process_start_time(pid) == started


SOFT_LIMITS = ("as", "core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "rss", "stack")
"""The resource limits that a command inherits from who started it, as `ulimit` and setrlimit(2) know them."""
UNLIMITED = -1


def own_umask() -> int:
    """This process's file mode mask.  Safe with threads on Linux."""
    if sys.platform == "linux":
        fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            lines = os.read(fd, 4096).splitlines()
        finally:
            os.close(fd)
        for line in lines:
            if line.startswith(b"Umask:"):
                return int(line[6:], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def own_soft_limits() -> dict[str, int]:
    """This process's soft resource limits by name; :data:`UNLIMITED` for none.  Those that the system knows."""
    import resource

    found = {}
    for name in SOFT_LIMITS:
        number = getattr(resource, "RLIMIT_" + name.upper(), None)
        if number is not None:
            soft = resource.getrlimit(number)[0]
            found[name] = UNLIMITED if soft == resource.RLIM_INFINITY else soft
    return found


def _stat_fields(pid: int) -> list[str]:
    """``/proc/<pid>/stat`` from its third field (the state) on; empty if there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        text = os.read(fd, 4096)
    except ProcessLookupError:
        return []
    finally:
        os.close(fd)
    # The name, in brackets, may itself hold brackets and blanks: the last bracket ends it.
    return text[text.rfind(b")") + 2 :].decode("ascii").split()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_time_darwin(pid: int) -> float:
    """From ``proc_pidinfo``'s ``proc_bsdinfo``: seconds and microseconds are its last two 64-bit fields."""
    import ctypes  # only needed here, and large

    buffer = ctypes.create_string_buffer(_BSD_INFO_BYTES)
    library = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
    if library.proc_pidinfo(pid, _BSD_INFO_FLAVOR, 0, buffer, _BSD_INFO_BYTES) != _BSD_INFO_BYTES:
        return 0.0
    seconds = int.from_bytes(buffer.raw[_BSD_START_AT : _BSD_START_AT + 8], sys.byteorder)
    micros = int.from_bytes(buffer.raw[_BSD_START_AT + 8 : _BSD_START_AT + 16], sys.byteorder)
    return seconds + micros / 1e6
