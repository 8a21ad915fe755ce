"""Where a node keeps its state, where its sockets are, and how its address is written.

Each can be overridden: ``HOLDFAST_STATE_DIR``, ``HOLDFAST_RUNTIME_DIR``, ``HOLDFAST_URL``.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from typing import Literal, NamedTuple

from .errors import HoldfastError, LimitExceeded, StorageError, UsageError

SOCKET_PATH_BYTES_MAX = 103 if sys.platform == "darwin" else 107
"""Longest path of a unix socket the platform's ``sockaddr_un`` holds."""

_UNIX = "unix://"
_PORT_MAX = 65_535

Scheme = Literal["unix", "tcp", "tls"]


class Address(NamedTuple):
    """A node's address, taken apart."""

    scheme: Scheme
    path: str = ""
    """Of a unix socket."""
    host: str = ""
    """A name or an IP address, without the brackets of IPv6."""
    port: int = 0

    def __str__(self) -> str:
        if self.scheme == "unix":
            return _UNIX + self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Places(NamedTuple):
    """The directories and the address of one node."""

    state_dir: str
    runtime_dir: str
    url: str

    @property
    def socket_path(self) -> str:
        """The unix socket's path.  UsageError for a URL of another kind."""
        return socket_path_of(self.url)

    @property
    def jobs_dir(self) -> str:
        """Parent of each job's own runtime directory."""
        return os.path.join(self.runtime_dir, "jobs")

    @property
    def spill_dir(self) -> str:
        """Parent of each job's spill directory; on disk, not in memory like a runtime directory may be."""
        return os.path.join(self.state_dir, "spill")

    @property
    def log_path(self) -> str:
        """Where a node started in the background writes its log."""
        return os.path.join(self.state_dir, "node.log")


def places(env: Mapping[str, str] = os.environ) -> Places:
    """The places that ``env`` asks for, else the user's own by the XDG conventions."""
    home = env.get("HOME") or os.path.expanduser("~")
    state = env.get("HOLDFAST_STATE_DIR") or os.path.join(
        env.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state"), "holdfast"
    )
    runtime = env.get("HOLDFAST_RUNTIME_DIR")
    if not runtime:
        base = env.get("XDG_RUNTIME_DIR")
        runtime = os.path.join(base, "holdfast") if base else f"/tmp/holdfast-{os.getuid()}"  # noqa: S108 - see make_private_dir
    runtime = os.path.abspath(runtime)
    url = env.get("HOLDFAST_URL") or _UNIX + os.path.join(runtime, "node.sock")
    return Places(os.path.abspath(state), runtime, url)


def address_of(url: str, field: str = "url") -> Address:
    """``unix:///path``, ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` taken apart; UsageError naming ``field`` if not."""
    if url.startswith(_UNIX):
        return Address("unix", path=socket_path_of(url))
    scheme, _, rest = url.partition("://")
    host, colon, port = rest.removesuffix("/").rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{field}: in {url!r} the IPv6 address needs brackets, as in [::1]", field=field)
    valid_port = port.isascii() and port.isdigit() and int(port) <= _PORT_MAX
    if scheme not in ("tcp", "tls") or not (colon and host and valid_port) or set(host) & set("/@?#[]"):
        forms = "unix:///path/to/node.sock, tcp://HOST:PORT or tls://HOST:PORT"
        raise UsageError(f"{field}: {url!r} is not of the form {forms}", field=field)
    return Address("tcp" if scheme == "tcp" else "tls", host=host, port=int(port))


def socket_path_of(url: str) -> str:
    """The path in ``unix:///path``.  UsageError for anything else, LimitExceeded for a path too long."""
    if not url.startswith(_UNIX + "/"):
        raise UsageError(f"url: {url!r} is not of the form unix:///path/to/node.sock", field="url")
    return check_socket_path(url[len(_UNIX) :])


def check_socket_path(path: str) -> str:
    """``path`` itself; LimitExceeded if the platform cannot bind a socket there."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise LimitExceeded(
            f"socket path {path!r} is {length} bytes long, over the platform's socket_path_bytes_max = "
            f"{SOCKET_PATH_BYTES_MAX}; set HOLDFAST_RUNTIME_DIR to a shorter directory",
            name="socket_path_bytes_max",
            limit=SOCKET_PATH_BYTES_MAX,
            value=length,
        )
    return path


def make_private_dir(path: str) -> str:
    """Make ``path`` a directory only we can enter; StorageError if it cannot be, or is someone else's.

    A directory another user made first, or a symbolic link, is refused: in a shared ``/tmp`` it would hand
    them our sockets.  One of ours that others may enter is closed to them if it is empty, else refused.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise StorageError(f"cannot use {path}: it is not a directory")
        if found.st_uid != os.geteuid():
            raise StorageError(f"cannot use directory {path}: it belongs to uid {found.st_uid}, not to us")
        if stat.S_IMODE(found.st_mode) & 0o077:
            if os.listdir(path):
                mode = stat.S_IMODE(found.st_mode)
                raise StorageError(f"cannot use directory {path}: others may enter it (mode {mode:04o}); chmod 700 it")
            os.chmod(path, 0o700)
    except HoldfastError:
        raise
    except OSError as error:
        raise StorageError(f"cannot use directory {path}: {error.strerror}") from error
    return path
