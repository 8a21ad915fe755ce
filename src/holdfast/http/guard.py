"""Which Host and Origin a request may carry.  Pure.

A web page must not reach the node through a name that only looks local (``127.evil.example``), nor through a
name of its own that was made to point here (DNS rebinding); so names are taken apart, never searched in.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

_PORTS = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """A host and a port."""

    host: str
    port: int | None


def parse_authority(text: str) -> Authority | None:
    """``host``, ``host:port``, ``[address]:port``; None for anything else."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_address(host) or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else None
    else:
        host, colon, after = text.partition(":")
        port = after if colon else None
        if not _is_name(host):
            return None
    if port is None:
        return Authority(host.lower(), None)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        return None
    return Authority(host.lower(), int(port))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    return bool(text) and text.isascii() and all(char.isalnum() or char in "-._" for char in text)


def is_local(host: str) -> bool:
    """Whether this is ``localhost`` or a loopback address, written out in full."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """What an operator allows beyond this machine."""

    def __init__(self, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """``hosts``: names the node is reached by; ``origins``: web pages that may use it, ``*`` for all."""
        self._hosts = {host.lower() for host in hosts}
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    def allows_host(self, host: str | None) -> bool:
        """Whether a request with this Host header was meant for us."""
        authority = None if host is None else parse_authority(host)
        return authority is not None and (is_local(authority.host) or authority.host in self._hosts)

    def allows_origin(self, origin: str | None, scheme: str, host: str) -> bool:
        """Whether the page a request comes from, if it comes from one, may use us."""
        if origin is None or "*" in self._origins or origin.lower() in self._origins:
            return True
        return same_origin(origin, scheme, host)

    def shares_with(self, origin: str | None) -> bool:
        """Whether the answer is marked as readable for the page."""
        return origin is not None and ("*" in self._origins or origin.lower() in self._origins)


def same_origin(origin: str, scheme: str, host: str) -> bool:
    """Whether a page of ``origin`` is one of the node's own, which was asked by ``scheme`` at ``host``.

    Where the node has a public name, a proxy may have taken TLS off on the way: its own pages are ``https`` then.
    """
    origin_scheme, separator, rest = origin.lower().partition("://")
    theirs, ours = parse_authority(rest), parse_authority(host)
    if not separator or theirs is None or ours is None:
        return False
    if origin_scheme != scheme and (origin_scheme != "https" or is_local(ours.host)):
        return False
    default = _PORTS.get(origin_scheme)
    return theirs.host == ours.host and (theirs.port or default) == (ours.port or default)


def is_own_page(method: str, origin: str | None, site: str | None, scheme: str, host: str) -> bool:
    """Whether a browser sends this for a page of the node's own, or because its user typed the address.

    ``site`` is Sec-Fetch-Site, which not every browser sends to every address.  What changes something must say where
    it comes from.  Pages of another port of this machine are not ours, though cookies reach them.
    """
    if site is not None and site not in ("same-origin", "none"):
        return False
    if origin is None:
        return method in ("GET", "HEAD")
    return same_origin(origin, scheme, host)
