"""Errors as the text that ends a stream, and as the body of one answer in it."""

from __future__ import annotations

import json

from ..errors import DisconnectedError, HoldfastError, InternalError, from_wire, to_wire


def encode_failure(error: HoldfastError) -> str:
    """The text a stream fails with for ``error``."""
    return json.dumps(to_wire(error))


def decode_failure(text: str, resume_offset: int | None = None) -> HoldfastError:
    """The error in ``text``.

    Anything else, which a node that goes away may say, is a cut and not an end: DisconnectedError, to go on at
    ``resume_offset``, whatever that is to the stream.
    """
    return _error_in(text) or DisconnectedError(text, resume_offset=resume_offset)


def encode_error(error: HoldfastError) -> bytes:
    """The body of an answer that is an error."""
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
