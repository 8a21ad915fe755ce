"""The handshake of one connection: HELLO both ways, AUTH as long as the authenticator asks, READY.

The dialing end sends its HELLO and first AUTH at once; the accepting end speaks when it has been spoken to.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ProtocolError, Unauthenticated
from .bodies import decode_object
from .codec import Codec
from .events import Opened
from .frames import Frame, FrameType, encode_frame
from .handshake import AuthBody, Authenticator
from .hello import VERSION_MIN, Hello, Version, common_version, our_hello, parse_hello, parse_ready, ready_body
from .outbox import Outbox
from .states import Role


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
