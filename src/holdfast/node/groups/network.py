"""What a group of a node says of its network, checked, and as a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UsageError
from ...ids import check_name

if TYPE_CHECKING:
    from ...limits import Limits
    from ...sync.groups import GroupSpec
    from ...sync.transports.base import Transport
    from ...sync.transports.udp import Udp


def check_spec(spec: GroupSpec, limits: Limits, key: bytes = b"") -> GroupSpec:
    """``spec`` itself; UsageError naming the field that cannot be."""
    check_name(spec.name, "spec.name")
    check_name(spec.me, "spec.me")
    if sum(map(bool, (spec.multicast, spec.listen, spec.bus))) != 1:
        raise UsageError("spec: give one of multicast, listen and bus", field="spec")
    if spec.peers and not spec.listen:
        raise UsageError("spec.peers: only with listen", field="spec.peers")
    from ...sync.profiles import profile_named

    profile_named(spec.profile)
    if not spec.bus:
        udp_of(spec, limits, key)
    elif key:
        raise UsageError("key: only over UDP; who may use the engine's bus is for the engine to say", field="key")
    return spec


def address_of(transport: Transport | None) -> str:
    """Where it listens; empty if it does not."""
    address = getattr(transport, "address", None)
    if address is None:
        return ""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def udp_of(spec: GroupSpec, limits: Limits, key: bytes) -> Udp:
    """The transport that is not opened yet; UsageError naming what cannot be."""
    from ...sync.transports.udp import Udp

    return Udp(
        multicast=spec.multicast,
        listen=spec.listen,
        peers=spec.peers,
        interface=spec.interface,
        ttl=spec.ttl,
        key=key or None,
        limits=limits,
    )
