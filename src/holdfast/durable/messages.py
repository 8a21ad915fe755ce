"""JSON streams: a body taken apart into messages, messages put together into a body."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..errors import UsageError

_batch = msgspec.json.Decoder(list[msgspec.Raw])
_single = msgspec.json.Decoder(msgspec.Raw)

_WHITESPACE = b" \t\r\n"


def split_messages(body: bytes) -> list[bytes]:
    """The messages of a body: the elements of an array, one level only, or the one value there is.

    They keep their bytes, so numbers keep their digits.  UsageError for what is not JSON in UTF-8.
    """
    try:
        body.decode()
        if body.lstrip(_WHITESPACE).startswith(b"["):
            return [bytes(raw) for raw in _batch.decode(body)]
        return [bytes(_single.decode(body)).strip(_WHITESPACE)]
    except UnicodeDecodeError as error:
        raise UsageError(f"body: not UTF-8 at byte {error.start}", field="body") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"body: {error}", field="body") from None
    except RecursionError:
        raise UsageError("body: nested too deeply", field="body") from None


def join_messages(messages: Sequence[bytes]) -> bytes:
    """A JSON array of the messages."""
    return b"[" + b",".join(messages) + b"]"
