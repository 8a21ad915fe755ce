"""How a connection ends: a goodbye said or heard, or a cut; and what those who come later are told."""

from __future__ import annotations

from ..errors import ClosedError, DisconnectedError, HoldfastError
from ..limits import Limits
from .bodies import Codec, decode_error, decode_object, encode_error, seconds_field
from .events import ClosedByPeer, Failed
from .frames import Frame, FrameType, encode_frame
from .outbox import Outbox


class Farewell:
    """One end of the goodbye."""

    __slots__ = ("_codec", "_limits", "_lost", "_outbox", "until")

    def __init__(self, codec: Codec, outbox: Outbox, limits: Limits) -> None:
        self._codec = codec
        self._outbox = outbox
        self._limits = limits
        self._lost = ""
        """Why the connection ended by no wish of ours."""
        self.until = 0.0
        """When a goodbye that we said is waited for no longer."""

    def say(self, error: HoldfastError | None, retry_after_s: float, now: float) -> None:
        """Queue our goodbye with its reason."""
        body = encode_error(self._codec, error, self._limits.handshake_frame_bytes_max, retry_after_s)
        self._outbox.put(encode_frame(FrameType.GOODBYE, 0, body))
        self.until = now + self._limits.goodbye_s

    def fail(self, error: HoldfastError, now: float) -> Failed:
        """Say why, drop the rest."""
        self._outbox.clear()
        self.say(error, 0.0, now)
        self._lost = f"the connection failed: {error}"
        return Failed(error)

    def hear(self, frame: Frame) -> ClosedByPeer:
        """The peer's goodbye; ProtocolError for a bad body."""
        body = decode_object(self._codec, frame.body, "GOODBYE") if len(frame.body) else {}
        error = decode_error(body, "GOODBYE") if body.get("code") else None
        retry_after_s = seconds_field(body, "retry_after_s", "GOODBYE") or 0.0
        self._lost = f"the peer closed the connection: {error or 'no reason given'}"
        return ClosedByPeer(error, retry_after_s)

    def cut(self) -> Failed:
        """The link ended without any."""
        self._lost = "the link was cut: the peer left without a goodbye"
        return Failed(DisconnectedError(self._lost))

    def refusal(self) -> HoldfastError:
        """What a call gets now."""
        return DisconnectedError(self._lost) if self._lost else ClosedError("the connection was closed by this end")
