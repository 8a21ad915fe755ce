"""What domains keep as JSON, read back from an engine."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from ..errors import CorruptionError

T = TypeVar("T")


class Stored(Generic[T]):
    """Reads values of ``kind`` that were stored as JSON.  ``what`` they are, an error says: ``"a job's record"``."""

    __slots__ = ("_decode", "_what")

    def __init__(self, kind: type[T], what: str) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._what = what

    def read(self, data: bytes, where: str) -> T:
        """The value in ``data``.  CorruptionError naming ``where`` for anything else, whatever it is."""
        try:
            return self._decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: it is not UTF-8
            raise CorruptionError(where=where, expected=self._what, got=str(error)) from error
