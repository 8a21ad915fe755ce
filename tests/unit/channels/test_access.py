"""Who may do what with a channel."""

from __future__ import annotations

import pytest

from holdfast.channels.access import Action, Caller, Gate, Owner, Reach, Stranger, check_subject
from holdfast.channels.model import NODE_SENDER
from holdfast.channels.state.channel import Channel
from holdfast.channels.state.record import ChannelRecord
from holdfast.errors import ChannelNotFound, PermissionDenied, UsageError

CHANNEL = Channel("p", "chat", ChannelRecord(submitter="alice", executor="bob"))


class Reader(Stranger):
    """A bearer of a reader's token."""

    def reach(self, action: Action, process: str, name: str) -> Reach:
        return "any" if action == "read" else "none"


@pytest.mark.parametrize(
    ("caller", "actions"),
    [
        (Owner("local:0"), {"create", "read", "append", "manage"}),
        (Stranger("alice"), {"read", "append", "manage"}),
        (Stranger("bob"), {"read", "append"}),
        (Stranger("eve"), set()),
        (Stranger(""), set()),
        (Reader("eve"), {"read"}),
        (Reader("alice"), {"read"}),
    ],
)
def test_roles_and_grants(caller: Caller, actions: set[Action]) -> None:
    every: tuple[Action, ...] = ("create", "read", "append", "manage")
    assert {action for action in every if Gate().allows(caller, action, CHANNEL)} == actions


def test_a_channel_without_an_executor_lets_nobody_in_by_that() -> None:
    assert not Gate().allows(Stranger(""), "read", Channel("p", "c", ChannelRecord(submitter="alice")))


def test_a_refusal_looks_like_nothing_there_and_is_noted() -> None:
    gate, told = Gate(), []

    class Audited(Stranger):
        def denied(self, operation: str, channel: str) -> None:
            told.append((operation, channel))

    with pytest.raises(ChannelNotFound) as caught:
        gate.check(Audited("eve"), "read", CHANNEL, "get")
    assert str(caught.value) == str(ChannelNotFound(name="p/chat"))
    with pytest.raises(PermissionDenied):
        gate.check_create(Audited("eve"), "p", "new")
    assert told == [("get", "p/chat"), ("create", "p/new")]
    assert gate.denied == 2


def test_only_who_may_append_anywhere_speaks_for_others() -> None:
    gate = Gate()
    assert gate.check_sender(Owner("local:0"), CHANNEL, "") == "local:0"
    assert gate.check_sender(Owner("local:0"), CHANNEL, "alice") == "alice"
    assert gate.check_sender(Stranger("alice"), CHANNEL, "alice") == "alice"
    with pytest.raises(PermissionDenied):
        gate.check_sender(Stranger("alice"), CHANNEL, "bob")
    with pytest.raises(UsageError, match="the node itself"):
        gate.check_sender(Owner("local:0"), CHANNEL, NODE_SENDER)


@pytest.mark.parametrize("name", ["alice", "local:1000", "job:abc", "a@b.example", "spiffe://x/y", "a+b=c"])
def test_names_of_callers(name: str) -> None:
    assert check_subject(name, "sender") == name


@pytest.mark.parametrize("name", ["", " ", "-x", ".x", "a b", "a\0", "ä", "x" * 200, "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_subject(name, "sender")
    assert caught.value.field == "sender"
