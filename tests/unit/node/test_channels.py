"""How far identities reach into channels."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.clock import VirtualClock
from holdfast.limits import LIMITS
from holdfast.node.channels import ChannelCaller
from holdfast.security.audit import AuditLog
from holdfast.security.identity import Identity, owner

WRITER = frozenset({"channels:read", "channels:write"})
EVERYTHING = frozenset({*WRITER, "channels:create"})


@pytest.mark.parametrize(
    ("identity", "reached"),
    [
        (owner(0), ["any", "any", "any", "any"]),
        (Identity("a"), ["none", "none", "none", "none"]),
        (Identity("a", frozenset({"admin"})), ["any", "any", "any", "any"]),
        (Identity("a", WRITER), ["none", "own", "own", "none"]),
        (Identity("a", EVERYTHING), ["any", "own", "own", "any"]),
        (Identity("a", EVERYTHING, role="reader"), ["none", "any", "none", "none"]),
        (Identity("job:j", WRITER, job="j", role="executor"), ["none", "any", "any", "none"]),
        (Identity("job:k", WRITER, job="k", role="executor"), ["none", "none", "none", "none"]),
        (Identity("a", frozenset({"admin"}), job="k"), ["none", "none", "none", "none"]),
        (Identity("a", EVERYTHING, channel="j/c"), ["none", "any", "any", "any"]),
        (Identity("a", EVERYTHING, channel="j/d"), ["none", "none", "none", "none"]),
    ],
)
def test_reach(identity: Identity, reached: list[str]) -> None:
    caller = ChannelCaller(identity, AuditLog("/nowhere", clock=VirtualClock(), limits=LIMITS))
    actions: list[Any] = ["create", "read", "append", "manage"]
    assert caller.subject == identity.subject
    assert [caller.reach(action, "j", "c") for action in actions] == reached
