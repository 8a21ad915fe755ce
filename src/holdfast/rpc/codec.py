"""How control bodies become bytes and back: JSON, by the standard library where start-up counts."""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from typing import Any, NoReturn, Protocol


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
