"""Who may do what: the caller as the node's door introduces it, and the channel's own roles.

The submitter and the executor of a channel may append and read; whoever has a grant that names it, or all channels,
may do what the grant says; nobody else learns whether the channel exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import structlog

from ..errors import ChannelNotFound, PermissionDenied, UsageError
from ..ids import check_name
from .model import NODE_SENDER, channel_id

if TYPE_CHECKING:
    from .state.channel import Channel

_logger = structlog.get_logger("holdfast.channels")

Action = Literal["create", "read", "append", "manage"]
"""``manage``: executors, closing, removing."""

Reach = Literal["none", "own", "any"]
"""How far a right goes: not to this channel; to it if the caller is its submitter or executor; to it in any case."""

OWN_ACTIONS = frozenset({"read", "append"})
"""What the roles of a channel give; the submitter may manage it too."""


class Caller(Protocol):
    """Who asks.  Made by the node from what the connection or the token has proven."""

    @property
    def subject(self) -> str:
        """Its name: what channels have as submitter and executor, and entries as sender."""
        ...

    def reach(self, action: Action, process: str, name: str) -> Reach:
        """How far its right to ``action`` goes for the channel ``name`` of ``process``."""
        ...

    def denied(self, operation: str, channel: str) -> None:
        """It was refused ``operation``; for the audit log."""
        ...


class Owner:
    """The node's owner, and whoever a test trusts: may do everything."""

    __slots__ = ("subject",)

    def __init__(self, subject: str) -> None:
        self.subject = subject

    def reach(self, action: Action, process: str, name: str) -> Reach:
        """Everywhere."""
        return "any"

    def denied(self, operation: str, channel: str) -> None:
        """Never happens."""


class Stranger:
    """Someone with a name and no grants: reaches the channels it is submitter or executor of."""

    __slots__ = ("subject",)

    def __init__(self, subject: str) -> None:
        self.subject = subject

    def reach(self, action: Action, process: str, name: str) -> Reach:
        """Its own, and nothing can be created."""
        return "none" if action == "create" else "own"

    def denied(self, operation: str, channel: str) -> None:
        """Nobody else notes it."""


class Gate:
    """Decides, counts and logs what is denied."""

    def __init__(self) -> None:
        self.denied = 0
        """Refusals so far."""

    def allows(self, caller: Caller, action: Action, channel: Channel) -> bool:
        """Whether ``caller`` may; without a word."""
        reach = caller.reach(action, channel.process, channel.name)
        if reach == "own":
            if not caller.subject:  # an executor not assigned yet has no name either
                return False
            if caller.subject == channel.submitter:
                return action != "create"
            return caller.subject == channel.executor and action in OWN_ACTIONS
        return reach == "any"

    def check(self, caller: Caller, action: Action, channel: Channel, operation: str) -> None:
        """ChannelNotFound, as if there were none, unless ``caller`` may; the denial is logged."""
        if not self.allows(caller, action, channel):
            self.deny(caller, channel.process, channel.name, operation)
            raise ChannelNotFound(name=channel.id)

    def check_create(self, caller: Caller, process: str, name: str) -> None:
        """PermissionDenied, whether there is such a channel or not, unless ``caller`` may make any there."""
        if caller.reach("create", process, name) != "any":
            self.deny(caller, process, name, "create")
            raise PermissionDenied(f"{caller.subject} may not create channels of process {process}")

    def check_sender(self, caller: Caller, channel: Channel, sender: str) -> str:
        """The sender's name: the caller's, or ``sender`` if the caller may append in the name of others."""
        name = sender or caller.subject
        if name == NODE_SENDER:
            raise UsageError(f"sender: {NODE_SENDER!r} is the node itself", field="sender")
        if name != caller.subject and caller.reach("append", channel.process, channel.name) != "any":
            self.deny(caller, channel.process, channel.name, f"append as {sender}")
            raise PermissionDenied(f"{caller.subject} may not append as {sender}")
        return check_subject(name, "sender")

    def deny(self, caller: Caller, process: str, name: str, operation: str) -> None:
        """Note a refusal."""
        self.denied += 1
        caller.denied(operation, channel_id(process, name))
        _logger.warning(
            "channel.denied", channel=channel_id(process, name), process=process, caller=caller.subject,
            operation=operation,
        )  # fmt: skip


_SUBJECT_REST = frozenset("@:/+=")


def check_subject(text: str, field: str) -> str:
    """``text`` itself if it can be the name of a caller: as other names, and ``@ : / + =`` may be in it."""
    if any(character in _SUBJECT_REST for character in text):
        check_name("".join("_" if character in _SUBJECT_REST else character for character in text), field)
    else:
        check_name(text, field)
    return text
