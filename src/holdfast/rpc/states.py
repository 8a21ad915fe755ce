"""The states of a connection, what moves it from one to the next, and which frames each accepts: as tables.

The diagram in ``docs/reference/protocol.md`` is :func:`diagram`'s output.
"""

from __future__ import annotations

from enum import Enum, StrEnum

from .frames import FrameType


class Role(StrEnum):
    """Which end dialed."""

    CLIENT = "client"
    SERVER = "server"


class State(Enum):
    """Where a connection is in its life."""

    GREETING = "greeting"
    """The peer's preamble and HELLO are awaited."""
    AUTHENTICATING = "authenticating"
    """Versions are agreed; who the peer is is not proven."""
    OPEN = "open"
    CLOSING = "closing"
    """We said goodbye; what is queued up to and with it has to leave."""
    CLOSED = "closed"


class Step(Enum):
    """What moves a connection."""

    HELLO_AGREED = "HELLO: a common version"
    PROVEN = "READY"
    GOODBYE_SENT = "GOODBYE sent"
    GOODBYE_RECEIVED = "GOODBYE received"
    FLUSHED = "all sent"
    CUT = "end of bytes"


class Link(StrEnum):
    """What a connection looks like from outside: computed, never assumed."""

    CONNECTING = "connecting"
    OPEN = "open"
    STALLED = "stalled"
    CLOSED = "closed"


def _leaving(state: State) -> dict[tuple[State, Step], State]:
    return {
        (state, Step.GOODBYE_SENT): State.CLOSING,
        (state, Step.GOODBYE_RECEIVED): State.CLOSED,
        (state, Step.CUT): State.CLOSED,
    }


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.GREETING, Step.HELLO_AGREED): State.AUTHENTICATING,
    (State.AUTHENTICATING, Step.PROVEN): State.OPEN,
    **_leaving(State.GREETING),
    **_leaving(State.AUTHENTICATING),
    **_leaving(State.OPEN),
    (State.CLOSING, Step.FLUSHED): State.CLOSED,
    (State.CLOSING, Step.CUT): State.CLOSED,
}

_HANDSHAKE = frozenset({FrameType.HELLO, FrameType.AUTH, FrameType.READY})

ACCEPTED: dict[State, frozenset[FrameType]] = {
    State.GREETING: frozenset({FrameType.HELLO, FrameType.GOODBYE}),
    State.AUTHENTICATING: frozenset({FrameType.AUTH, FrameType.READY, FrameType.GOODBYE}),
    State.OPEN: frozenset(FrameType) - _HANDSHAKE,
    State.CLOSING: frozenset(),
    State.CLOSED: frozenset(),
}
"""Frames a state accepts; any other known one is answered with a goodbye, reason "not-open" or "wrong-state"."""

CONNECTING = frozenset({State.GREETING, State.AUTHENTICATING})
OVER = frozenset({State.CLOSING, State.CLOSED})


def after(state: State, step: Step) -> State:
    """The state that ``step`` leads to; a step the table does not have is a mistake of ours."""
    assert (state, step) in TRANSITIONS, f"no way from {state} by {step}"
    return TRANSITIONS[state, step]


def diagram() -> str:
    """The table as a mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.GREETING.value}: preamble"]
    lines += [f"    {state.value} --> {to.value}: {step.value}" for (state, step), to in TRANSITIONS.items()]
    return "\n".join([*lines, f"    {State.CLOSED.value} --> [*]"])
