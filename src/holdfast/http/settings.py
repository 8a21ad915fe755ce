"""What an operator says about the HTTP door.  Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import UsageError
from .guard import parse_authority


class HttpSettings(NamedTuple):
    """What an operator says about the HTTP door."""

    host: str
    port: int
    hosts: tuple[str, ...] = ()
    """Names it is reached by, beside this machine's loopback names."""
    origins: tuple[str, ...] = ()
    """Web pages that may use it; ``*`` for all."""
    open: bool = False
    """Nobody needs a token."""
    root: str = ""
    """Directory of files served to everybody at all paths that are not the door's own; empty: none."""


def parse_listen(text: str) -> tuple[str, int]:
    """``HOST:PORT`` taken apart; UsageError for anything else."""
    authority = parse_authority(text)
    if authority is None or authority.port is None:
        raise UsageError(f"http: {text!r} is not HOST:PORT", field="http")
    return authority.host, authority.port
