"""How far identities reach into channels."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.node.channel_caller import ChannelCaller
from holdfast.security.identity import Identity, owner

WRITER = frozenset({"channels:read", "channels:write"})
EVERYTHING = frozenset({*WRITER, "channels:create"})


@pytest.mark.parametrize(
    ("identity", "reached"),
    [
        (owner(0), ["any", "any", "any", "any"]),
        (Identity("a"), ["none", "none", "none", "none"]),
        (Identity("a", WRITER), ["none", "any", "any", "none"]),
        (Identity("a", EVERYTHING), ["any", "any", "any", "any"]),
        (Identity("a", EVERYTHING, role="reader"), ["none", "any", "none", "none"]),
        (Identity("a", EVERYTHING, role="submitter"), ["any", "own", "own", "own"]),
        (Identity("job:j", WRITER, job="j", role="executor"), ["none", "any", "any", "none"]),
        (Identity("job:k", WRITER, job="k", role="executor"), ["none", "none", "none", "none"]),
        (Identity("a", EVERYTHING, channel="j/c"), ["none", "any", "any", "any"]),
        (Identity("a", EVERYTHING, channel="j/d"), ["none", "none", "none", "none"]),
    ],
)
def test_reach(identity: Identity, reached: list[str]) -> None:
    caller = ChannelCaller(identity)
    actions: list[Any] = ["create", "read", "append", "manage"]
    assert caller.subject == identity.subject
    assert [caller.reach(action, "j", "c") for action in actions] == reached
