"""The policy, whole: every action against every scope, role and bound."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from holdfast.errors import ChannelNotFound, NotFound, PermissionDenied
from holdfast.security.identity import ROLES, SCOPES, Identity, owner
from holdfast.security.policy import OWNERS_ONLY, RULES, Action, Kind, allow, allow_to_speak, sees

ACTIONS: tuple[Action, ...] = tuple(RULES)
OWN = {"job": "j", "process": "j", "channel": "j/c", "stream": "s", "node": "", "list": "", "all": ""}
FOREIGN = {"job": "k", "process": "k", "channel": "k/c", "stream": "s", "node": "", "list": "", "all": ""}

EXPECTED: dict[str, set[str]] = {
    "node:read": {"node.read"},
    "jobs:read": {"jobs.list", "jobs.read"},
    "jobs:write": {"jobs.write"},
    "jobs:start": {"jobs.start"},
    "channels:read": {"channels.list", "channels.read"},
    "channels:write": {"channels.write"},
    "channels:create": {"channels.create", "channels.manage", "channels.manage_process"},
    "streams:read": {"streams.list", "streams.read"},
    "streams:write": {"streams.write"},
    "groups:read": {"groups.read"},
    "groups:write": {"groups.write"},
    "sessions:read": {"sessions.use"},
    "sessions:write": {"sessions.publish"},
    "records:read": {"records.read"},
    "records:write": {"records.write"},
    "admin": set(ACTIONS),
}
READS = {
    *("node.read", "jobs.list", "jobs.read", "channels.list", "channels.read", "streams.list", "streams.read"),
    *("sessions.use", "records.read", "groups.read"),
}
OF_A_JOB = {"jobs.read", "jobs.write", "channels.read", "channels.write"} | EXPECTED["channels:create"]
OF_A_CHANNEL = {"channels.read", "channels.write", "channels.manage"}
OF_NOBODY = {"node.read", "jobs.list", "channels.list", "streams.list", "sessions.use"}


def may(identity: Identity, action: Any, resource: str = "") -> bool:
    try:
        allow(identity, action, resource)
    except (PermissionDenied, NotFound):
        return False
    return True


def test_the_table_is_the_expected_one() -> None:
    assert set(EXPECTED) == set(SCOPES)
    for scope, action in itertools.product(SCOPES, ACTIONS):
        identity = Identity("a", frozenset({scope}))
        assert may(identity, action, OWN[RULES[action].kind]) == (action in EXPECTED[scope]), (scope, action)


@pytest.mark.parametrize("action", ACTIONS)
def test_without_scopes_nothing_and_the_owner_all(action: Action) -> None:
    with pytest.raises(PermissionDenied, match="lacks the scope"):
        allow(Identity("a"), action, "x")
    allow(owner(0), action, "x")


def test_an_action_nobody_thought_of_is_the_owners() -> None:
    everything: Any = "disks.format"
    with pytest.raises(PermissionDenied, match="nobody but the owner"):
        allow(Identity("a", frozenset(SCOPES)), everything)


@pytest.mark.parametrize("action", OWNERS_ONLY)
def test_what_is_the_owners_no_token_gives(action: Action) -> None:
    with pytest.raises(PermissionDenied, match="nobody but the owner"):
        allow(Identity("a", frozenset(SCOPES)), action)
    allow(owner(0), action)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", ROLES)
def test_a_reader_reads(action: Action, role: Any) -> None:
    identity = Identity("a", frozenset(SCOPES), role=role)
    assert may(identity, action, OWN[RULES[action].kind]) == (role != "reader" or action in READS)


@pytest.mark.parametrize("action", ACTIONS)
def test_bound_to_a_job_there_is_nothing_else(action: Action) -> None:
    identity = Identity("a", frozenset(SCOPES), job="j")
    kind = RULES[action].kind
    assert may(identity, action, OWN[kind]) == (action in OF_A_JOB | OF_NOBODY)
    assert may(identity, action, FOREIGN[kind]) == (action in OF_NOBODY)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("job", ["", "j"])
def test_bound_to_a_channel_there_is_nothing_else(action: Action, job: str) -> None:
    identity = Identity("a", frozenset(SCOPES), job=job, channel="j/c")
    kind = RULES[action].kind
    assert may(identity, action, OWN[kind]) == (action in OF_A_CHANNEL | OF_NOBODY)
    assert may(identity, action, FOREIGN[kind]) == (action in OF_NOBODY)
    assert may(identity, action, "j/other") == (action in OF_NOBODY)


@pytest.mark.parametrize("resource", ["k/c", "jj/c", "j", "j/", "/c", "", "J/c", "j /c", "../j/c", "k/j/c"])
def test_foreign_channels_do_not_exist(resource: str) -> None:
    identity = Identity("a", frozenset(SCOPES), job="j")
    with pytest.raises(ChannelNotFound) as caught:
        allow(identity, "channels.read", resource)
    assert str(caught.value) == str(ChannelNotFound(name=resource))


def test_foreign_jobs_do_not_exist_under_the_name_they_were_asked_for_by() -> None:
    identity = Identity("a", frozenset(SCOPES), job="j")
    with pytest.raises(NotFound) as caught:
        allow(identity, "jobs.read", "k", shown="their-job")
    assert (str(caught.value), caught.value.details()) == (
        str(NotFound(kind="job", name="their-job")),
        NotFound(kind="job", name="their-job").details(),
    )


@pytest.mark.parametrize(
    ("identity", "seen"),
    [
        (owner(0), {"j", "k", "j/c", "k/c"}),
        (Identity("a"), {"j", "k", "j/c", "k/c"}),
        (Identity("a", job="j"), {"j", "j/c"}),
        (Identity("a", channel="k/c"), {"k/c"}),
    ],
    ids=["owner", "unbound", "job", "channel"],
)
def test_what_lists_hold(identity: Identity, seen: set[str]) -> None:
    found: list[tuple[Kind, str]] = [("job", "j"), ("job", "k"), ("channel", "j/c"), ("channel", "k/c")]
    assert {name for kind, name in found if sees(identity, kind, name)} == seen


def test_nobody_speaks_as_another_but_who_may_all() -> None:
    for identity in (owner(0), Identity("a", frozenset({"admin"})), Identity("b")):
        allow_to_speak(identity, "b")
        allow_to_speak(identity, "")
    with pytest.raises(PermissionDenied, match="a may not speak as b"):
        allow_to_speak(Identity("a", frozenset({"channels:write"})), "b")
