"""The handshake of one connection: HELLO both ways, AUTH as long as the authenticator asks, READY.

The dialing end sends its HELLO and first AUTH at once; the accepting end speaks when it has been spoken to.

How an end proves who it is, is an authenticator's: sans-I/O, one per way of proving it.  The dialing end's first AUTH
names its ``method``; each further AUTH answers the one before.  An accepting end is open once its authenticator is
``proven`` and says so with READY; a dialing end takes READY only when its own is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ...errors import ProtocolError, Unauthenticated
from ..bodies import Codec, decode_object, text_field
from ..events import Opened
from ..frames import Frame, FrameType, encode_frame
from ..outbox import Outbox
from ..states import Role
from .hello import VERSION_MIN, Hello, Version, common_version, our_hello, parse_hello, parse_ready, ready_body

AuthBody = dict[str, Any]


class Authenticator(Protocol):
    """One end's part of proving who is there.  Used for one connection, then dropped."""

    @property
    def method(self) -> str:
        """The name of this way of proving, as AUTH carries it."""
        ...

    @property
    def proven(self) -> bool:
        """Whether the peer has proven all that this end asks of it."""
        ...

    @property
    def identity(self) -> str:
        """Who the peer is, once proven; empty at a dialing end."""
        ...

    def first(self) -> AuthBody | None:
        """The AUTH body a dialing end opens with; None at an accepting end."""
        ...

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Take the peer's AUTH; the body to answer with, if any.

        Raises Unauthenticated or PermissionDenied, which end the connection, and ProtocolError for a bad body.
        """
        ...


class Greeting:
    """One end of the handshake."""

    __slots__ = ("_authenticator", "_codec", "_hello", "_outbox", "_role", "peer", "version")

    def __init__(
        self, role: Role, authenticator: Authenticator, codec: Codec, outbox: Outbox, features: Iterable[str]
    ) -> None:
        self._role = role
        self._authenticator = authenticator
        self._codec = codec
        self._outbox = outbox
        self._hello = our_hello(role.value, features)
        self.version: Version = VERSION_MIN
        self.peer: Hello | None = None
        """What the peer said of itself."""
        if role is Role.CLIENT:
            self._send(FrameType.HELLO, self._hello.body())
            self._send_auth(authenticator.first())

    def receive_hello(self, frame: Frame) -> None:
        """Agree on a version; VersionMismatch if there is no common one, ProtocolError for a bad body."""
        if self._role is Role.SERVER:
            self._send(FrameType.HELLO, self._hello.body())
        self.peer = parse_hello(decode_object(self._codec, frame.body, "HELLO"))
        if self.peer.role == self._role.value:
            raise ProtocolError(f"HELLO: both ends are {self._role.value}", "wrong-state")
        self.version = common_version(self._hello, self.peer)

    def receive_auth(self, frame: Frame) -> Opened | None:
        """One step of proving; Opened when the accepting end is satisfied.

        Unauthenticated, PermissionDenied or ProtocolError end the connection.
        """
        self._send_auth(self._authenticator.receive(decode_object(self._codec, frame.body, "AUTH")))
        if self._role is Role.CLIENT or not self._authenticator.proven:
            return None
        opened = Opened(self._authenticator.identity, self._common_features(), self.version)
        self._send(FrameType.READY, ready_body(opened.identity, opened.version, opened.features))
        return opened

    def receive_ready(self, frame: Frame) -> Opened:
        """The accepting end is satisfied; Unauthenticated if we are not, ProtocolError if it chose what we lack."""
        if self._role is Role.SERVER:
            raise ProtocolError("READY from a dialing end", "wrong-state")
        if not self._authenticator.proven:
            raise Unauthenticated("the peer says READY and has not proven who it is")
        identity, version, features = parse_ready(decode_object(self._codec, frame.body, "READY"))
        if version != self.version:
            raise ProtocolError(f"READY: version {version} was chosen, {self.version} is the highest common one")
        return Opened(identity, features & self._common_features(), version)

    def _common_features(self) -> frozenset[str]:
        assert self.peer is not None, "HELLO comes before anything else"
        return self._hello.features & self.peer.features

    def _send_auth(self, body: AuthBody | None) -> None:
        if body is not None:
            self._send(FrameType.AUTH, body)

    def _send(self, frame_type: FrameType, body: AuthBody) -> None:
        self._outbox.put_greeting(encode_frame(frame_type, 0, self._codec.encode(body)))


def expect_method(method: str, body: AuthBody) -> None:
    """Unauthenticated if a dialing end's first AUTH names another method."""
    named = text_field(body, "method", "AUTH")
    if named != method:
        hint = ": show a token" if method == "bearer" else ""
        raise Unauthenticated(f"authentication by {named!r} is not offered here, only by {method}{hint}")
