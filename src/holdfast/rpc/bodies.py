"""JSON bodies as control frames carry them: how they become bytes and back, and decoding with every shape checked.

JSON by the standard library, where start-up counts; ``aio`` has another codec.
"""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from typing import Any, NoReturn, Protocol

from ..errors import HoldfastError, InternalError, ProtocolError, from_wire, to_wire

_SECONDS_MAX = 1e9
_MESSAGE_LENGTH_MAX = 500
"""Characters of the message that stands in for an error which cannot be sent itself."""


class Codec(Protocol):
    """JSON bodies of frames.  What one codec writes every other reads."""

    def encode(self, value: Any) -> bytes:
        """``value`` as UTF-8 JSON; TypeError or ValueError for what JSON cannot say."""
        ...

    def decode(self, body: bytes | memoryview) -> Any:
        """The value in ``body``; ValueError for anything that is not UTF-8 JSON."""
        ...


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class JsonCodec:
    """The standard library's JSON: dicts, lists, str, int, finite float, bool, None."""

    __slots__ = ("_decode", "_encode")

    def __init__(self) -> None:
        self._decode = JSONDecoder(parse_constant=_no_constant).decode
        self._encode = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode

    def encode(self, value: Any) -> bytes:
        """``value`` as ASCII JSON; TypeError or ValueError for what JSON cannot say."""
        text = self._encode(value)
        if "\\ud" in text:
            _check_pairs(value)
        return text.encode("ascii")

    def decode(self, body: bytes | memoryview) -> Any:
        """The value in ``body``; ValueError for anything that is not UTF-8 JSON.

        Half a surrogate pair is refused: nobody could encode it again.
        """
        text = str(body, "utf-8")
        try:
            value = self._decode(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if "\\ud" in text or "\\uD" in text:
            _check_pairs(value)
        return value


def _check_pairs(value: Any) -> None:
    """ValueError for half a surrogate pair anywhere in ``value``: it is no character, and nobody can read it."""
    JSONEncoder(ensure_ascii=False).encode(value).encode("utf-8")


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
