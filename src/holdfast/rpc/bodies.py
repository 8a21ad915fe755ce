"""JSON bodies as control frames carry them: decoding with every shape checked."""

from __future__ import annotations

from typing import Any

from ..errors import HoldfastError, InternalError, ProtocolError, from_wire, to_wire
from .codec import Codec

_SECONDS_MAX = 1e9
_MESSAGE_LENGTH_MAX = 500
"""Characters of the message that stands in for an error which cannot be sent itself."""


def decode_value(codec: Codec, body: bytes | memoryview, what: str) -> Any:
    """The JSON value in ``body``; ProtocolError("malformed") if it is none."""
    try:
        return codec.decode(body)
    except ValueError as error:
        raise ProtocolError(f"{what}: bad JSON: {error}") from error


def decode_object(codec: Codec, body: bytes | memoryview, what: str) -> dict[str, Any]:
    """The JSON object in ``body``; ProtocolError("malformed") if it is none."""
    value = decode_value(codec, body, what)
    if not isinstance(value, dict):
        raise ProtocolError(f"{what}: the body must be an object")
    return value


def decode_error(body: dict[str, Any], what: str) -> HoldfastError:
    """The error a body describes; ProtocolError("malformed") if its details cannot be understood."""
    try:
        return from_wire(body)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{what}: bad error details: {error}") from error


def encode_error(codec: Codec, error: HoldfastError | None, bytes_max: int, retry_after_s: float = 0.0) -> bytes:
    """The body that describes ``error``; of one that JSON cannot say or that is too long, its class and why."""
    body: dict[str, Any] = {"retry_after_s": retry_after_s} if retry_after_s else {}
    try:
        json = codec.encode(body if error is None else to_wire(error) | body)
        if len(json) <= bytes_max:
            return json
        why = f"{len(json)} bytes"
    except (TypeError, ValueError) as unsendable:
        why = str(unsendable)
    stand_in = InternalError(f"{type(error).__name__} could not be sent: {why}"[:_MESSAGE_LENGTH_MAX])
    return codec.encode(to_wire(stand_in) | body)


def text_field(body: dict[str, Any], name: str, what: str) -> str:
    """``body[name]``, a string; ProtocolError("malformed") if it is none."""
    value = body.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"{what}: {name} must be a string")
    return value


def seconds_field(body: dict[str, Any], name: str, what: str) -> float | None:
    """``body[name]``, a number of seconds, or None; ProtocolError("malformed") for anything else."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _SECONDS_MAX:
        raise ProtocolError(f"{what}: {name} must be a number of seconds from 0 to {_SECONDS_MAX:g}")
    return float(value)
