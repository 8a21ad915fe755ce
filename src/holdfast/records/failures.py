"""Errors as the text that ends a stream of answers, and as the body of one answer."""

from __future__ import annotations

import json

from ..errors import DisconnectedError, HoldfastError, InternalError, from_wire, to_wire


def encode_failure(error: HoldfastError) -> str:
    """The text a stream fails with for ``error``."""
    return json.dumps(to_wire(error))


def decode_failure(text: str) -> HoldfastError:
    """The error in ``text``; anything else is a cut and not an end: DisconnectedError."""
    return _error_in(text) or DisconnectedError(text)


def encode_error(error: HoldfastError) -> bytes:
    """The body of an answer with the status ERROR."""
    return encode_failure(error).encode()


def decode_error(body: bytes) -> HoldfastError:
    """The error in an answer's body; InternalError for what is none."""
    try:
        text = str(body, "utf-8")
    except ValueError:
        text = ""
    return _error_in(text) or InternalError("the node answered with an error that cannot be read")


def _error_in(text: str) -> HoldfastError | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return from_wire(body) if isinstance(body, dict) and "code" in body else None
