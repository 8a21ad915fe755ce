"""What an operator says about the gRPC door.  Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import UsageError


class GrpcSettings(NamedTuple):
    """What an operator says about the gRPC door."""

    host: str
    port: int
    open: bool = False
    """Nobody needs a token."""

    @property
    def authority(self) -> str:
        """``HOST:PORT``, with the brackets of IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_authority(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPV6]:PORT`` taken apart; UsageError for anything else."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(f"grpc: {text!r} is not HOST:PORT", field="grpc")
    if ":" in bare and not host.startswith("["):
        raise UsageError(f"grpc: {text!r}: an IPv6 address goes in brackets", field="grpc")
    return bare, int(port)
