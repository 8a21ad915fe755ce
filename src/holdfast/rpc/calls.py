"""Calls and events of one open connection: frames in, events out; requests and answers in, frames out."""

from __future__ import annotations

from typing import Any

from ..errors import HoldfastError, LimitExceeded, ProtocolError, UsageError
from ..limits import Limits
from .bodies import Codec, decode_error, decode_object, decode_value, encode_error, seconds_field, text_field
from .callbooks import IncomingCalls, OutgoingCalls
from .events import CallCancelled, ErrorReceived, Event, EventReceived, RequestReceived, ResponseReceived
from .frames import FLAG_ERROR, Frame, FrameType, encode_attached, encode_frame, split_attached
from .outbox import Outbox

_ATTACHMENT_OVERHEAD = 4
"""The length of the JSON, before it, when there is an attachment."""
_REFUSALS_SHARE = 2
"""Refusals to a peer that does not read them may fill this many times the control queue's limit, no more."""


class Calls:
    """Both directions of calls, and the events pushed on them."""

    __slots__ = ("_codec", "_incoming", "_limits", "_outbox", "_outgoing")

    def __init__(self, codec: Codec, outbox: Outbox, limits: Limits) -> None:
        self._codec = codec
        self._outbox = outbox
        self._limits = limits
        self._outgoing = OutgoingCalls(limits.calls_in_flight_max)
        self._incoming = IncomingCalls(limits.calls_in_flight_max)

    @property
    def outgoing_count(self) -> int:
        """Our calls that wait for an answer."""
        return len(self._outgoing)

    @property
    def incoming_count(self) -> int:
        """The peer's calls that have no answer yet."""
        return len(self._incoming)

    def call(self, method: str, params: dict[str, Any], attachment: bytes, deadline_s: float | None, now: float) -> int:
        """Queue a request; its number.

        LimitExceeded for too large or too many, UsageError for parameters that JSON cannot say; nothing is queued then.
        """
        self._outgoing.check_room()
        body: dict[str, Any] = {"method": method, "params": params}
        if deadline_s is not None:
            body["deadline_s"] = deadline_s
        json = self._encode_request(method, body)
        _check_size("request_bytes_max", self._limits.request_bytes_max, len(json))
        self._check_frame(json, attachment)
        self._check_queue(len(json) + len(attachment))
        number = self._outgoing.open(deadline_s, now)
        self._outbox.put(encode_attached(FrameType.REQUEST, number, json, attachment))
        return number

    def _encode_request(self, method: str, body: dict[str, Any]) -> bytes:
        try:
            return self._codec.encode(body)
        except UnicodeEncodeError:
            raise UsageError(f"{method}: a text is not UTF-8", field="params") from None
        except ValueError as error:
            raise UsageError(f"{method}: {error}", field="params") from None

    def cancel(self, number: int) -> bool:
        """Give up our call; whether it was still waiting."""
        if not self._outgoing.close(number):
            return False
        self._outbox.put(encode_frame(FrameType.CANCEL, number))
        return True

    def respond(self, number: int, result: Any, attachment: bytes) -> None:
        """Answer the peer's call; an answer too large for a frame becomes the error that says so."""
        if not self._incoming.is_open(number):
            return
        json = self._codec.encode(result)
        try:
            self._check_frame(json, attachment)
        except LimitExceeded as error:
            self.respond_error(number, error)
            return
        self._incoming.close(number)
        self._outbox.put(encode_attached(FrameType.RESPONSE, number, json, attachment))

    def respond_error(self, number: int, error: HoldfastError) -> None:
        """Answer the peer's call with ``error``."""
        if self._incoming.close(number):
            self._put_error(number, error)

    def emit(self, number: int, name: str, body: Any, attachment: bytes) -> None:
        """Push an event; dropped if call ``number`` is over.  LimitExceeded if the queue is full or it is too large."""
        if number and not self._incoming.is_open(number):
            return
        json = self._codec.encode({"name": name, "body": body})
        self._check_frame(json, attachment)
        self._check_queue(len(json) + len(attachment))
        self._outbox.put(encode_attached(FrameType.EVENT, number, json, attachment))

    def receive_request(self, frame: Frame, now: float) -> Event | None:
        """The peer's call, or None if it was refused; LimitExceeded if the peer does not even read refusals."""
        json, attachment = split_attached(frame)
        refusal = self._refusal(len(json)) or self._incoming.open(frame.number)
        if refusal is not None:
            self._put_error(frame.number, refusal)
            return None
        body = decode_object(self._codec, json, "REQUEST")
        method = text_field(body, "method", "REQUEST")
        params = body.get("params", {})
        if not isinstance(params, dict):
            raise ProtocolError("REQUEST: params must be an object")
        deadline_s = seconds_field(body, "deadline_s", "REQUEST")
        deadline = None if deadline_s is None else now + deadline_s
        return RequestReceived(frame.number, method, params, attachment, deadline)

    def receive_cancel(self, frame: Frame) -> Event | None:
        """The peer gives up its call; None if it was answered already."""
        return CallCancelled(frame.number) if self._incoming.close(frame.number) else None

    def receive_response(self, frame: Frame) -> Event | None:
        """The answer to our call; None if we gave it up."""
        number = frame.number
        self._outgoing.check_issued(number)
        if not self._outgoing.close(number):
            return None
        json, attachment = split_attached(frame)
        if frame.flags & FLAG_ERROR:
            return ErrorReceived(number, decode_error(decode_object(self._codec, json, "RESPONSE"), "RESPONSE"))
        return ResponseReceived(number, decode_value(self._codec, json, "RESPONSE"), attachment)

    def receive_event(self, frame: Frame) -> Event | None:
        """What the peer pushed; None if we gave up the call it belongs to."""
        number = frame.number
        if number:
            self._outgoing.check_issued(number)
            if not self._outgoing.is_waiting(number):
                return None
        json, attachment = split_attached(frame)
        body = decode_object(self._codec, json, "EVENT")
        return EventReceived(number, text_field(body, "name", "EVENT"), body.get("body"), attachment)

    def expire(self, now: float) -> list[Event]:
        """Our calls whose deadline has passed: cancelled at the peer, failed here."""
        late = self._outgoing.expired(now)
        for number, _ in late:
            self._outbox.put(encode_frame(FrameType.CANCEL, number))
        return [ErrorReceived(number, error) for number, error in late]

    def next_deadline(self) -> float | None:
        """The earliest deadline of our calls."""
        return self._outgoing.next_deadline()

    def _refusal(self, json_bytes: int) -> LimitExceeded | None:
        limits, waiting = self._limits, self._outbox.control_bytes
        if json_bytes > limits.request_bytes_max:
            return _over("request_bytes_max", limits.request_bytes_max, json_bytes)
        if waiting <= limits.control_queue_bytes_max:
            return None
        refusal = _over("control_queue_bytes_max", limits.control_queue_bytes_max, waiting)
        if waiting > _REFUSALS_SHARE * limits.control_queue_bytes_max:
            raise refusal
        return refusal

    def _put_error(self, number: int, error: HoldfastError) -> None:
        body = encode_error(self._codec, error, self._limits.frame_bytes_max)
        self._outbox.put(encode_frame(FrameType.RESPONSE, number, body, FLAG_ERROR))

    def _check_queue(self, size: int) -> None:
        waiting = self._outbox.control_bytes + size
        _check_size("control_queue_bytes_max", self._limits.control_queue_bytes_max, waiting)

    def _check_frame(self, json: bytes, attachment: bytes) -> None:
        size = len(json) + len(attachment) + (_ATTACHMENT_OVERHEAD if attachment else 0)
        _check_size("frame_bytes_max", self._limits.frame_bytes_max, size)


def _check_size(name: str, limit: int, value: int) -> None:
    if value > limit:
        raise _over(name, limit, value)


def _over(name: str, limit: int, value: int) -> LimitExceeded:
    return LimitExceeded(name=name, limit=limit, value=value)
