"""HELLO and READY: what each end says of itself, and the version and features the two have in common.

Bodies may carry keys this version does not know; they are ignored, so a peer may be ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..._version import __version__
from ...errors import ProtocolError, VersionMismatch

Version = tuple[int, int]

VERSION_MIN: Version = (1, 0)
"""The oldest protocol this release speaks."""
VERSION_MAX: Version = (1, 0)
"""The newest protocol this release speaks."""

AGENT = f"holdfast/{__version__}"
_FEATURES_MAX = 256


class Hello(NamedTuple):
    """What one end says of itself before anything is proven."""

    version_min: Version
    version_max: Version
    features: frozenset[str]
    agent: str
    role: str

    def body(self) -> dict[str, Any]:
        """As HELLO carries it."""
        versions = {"min": list(self.version_min), "max": list(self.version_max)}
        return {"versions": versions, "features": sorted(self.features), "agent": self.agent, "role": self.role}


def our_hello(role: str, features: Iterable[str]) -> Hello:
    """This release's greeting."""
    return Hello(VERSION_MIN, VERSION_MAX, frozenset(features), AGENT, role)


def parse_hello(body: dict[str, Any]) -> Hello:
    """The peer's greeting; ProtocolError("malformed") for missing or mistyped keys."""
    versions = body.get("versions")
    if not isinstance(versions, dict):
        raise ProtocolError("HELLO: versions must be an object")
    agent, role = body.get("agent", ""), body.get("role", "")
    if not isinstance(agent, str) or not isinstance(role, str):
        raise ProtocolError("HELLO: agent and role must be strings")
    low, high = parse_version(versions.get("min")), parse_version(versions.get("max"))
    return Hello(low, high, parse_features(body.get("features", [])), agent, role)


def common_version(ours: Hello, theirs: Hello) -> Version:
    """The highest version both speak; VersionMismatch if there is none."""
    highest = min(ours.version_max, theirs.version_max)
    if highest < max(ours.version_min, theirs.version_min):
        raise VersionMismatch(
            f"no common protocol version: we speak {_range(ours)}, the peer ({theirs.agent!r}) {_range(theirs)}"
        )
    return highest


def ready_body(identity: str, version: Version, features: frozenset[str]) -> dict[str, Any]:
    """As READY carries it."""
    return {"identity": identity, "version": list(version), "features": sorted(features)}


def parse_ready(body: dict[str, Any]) -> tuple[str, Version, frozenset[str]]:
    """Identity, chosen version, common features; ProtocolError("malformed") for missing or mistyped keys."""
    identity = body.get("identity")
    if not isinstance(identity, str):
        raise ProtocolError("READY: identity must be a string")
    return identity, parse_version(body.get("version")), parse_features(body.get("features", []))


def parse_version(value: Any) -> Version:
    """``[major, minor]`` as a tuple; ProtocolError("malformed") for anything else."""
    if isinstance(value, list) and len(value) == 2 and all(type(part) is int and part >= 0 for part in value):
        return value[0], value[1]
    raise ProtocolError("a version must be [major, minor]")


def parse_features(value: Any) -> frozenset[str]:
    """A list of names as a set; ProtocolError("malformed") for anything else, or too many."""
    if not isinstance(value, list) or len(value) > _FEATURES_MAX or not all(isinstance(name, str) for name in value):
        raise ProtocolError(f"features must be a list of at most {_FEATURES_MAX} strings")
    return frozenset(value)


def _range(hello: Hello) -> str:
    return "{}.{} to {}.{}".format(*hello.version_min, *hello.version_max)
