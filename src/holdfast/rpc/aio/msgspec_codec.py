"""JSON bodies by msgspec, for the node and the async SDK; the bytes are those the standard library reads too."""

from __future__ import annotations

from typing import Any

import msgspec


class MsgspecCodec:
    """Encodes builtins and dataclasses, decodes to builtins."""

    __slots__ = ("_decode", "_encode")

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder().decode

    def encode(self, value: Any) -> bytes:
        """``value`` as UTF-8 JSON, NaN and infinities as null; TypeError or ValueError for what JSON cannot say."""
        try:
            return self._encode(value)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def decode(self, body: bytes | memoryview) -> Any:
        """The value in ``body``; ValueError for anything that is not UTF-8 JSON."""
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(str(error)) from None
