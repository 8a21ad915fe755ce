"""Errors as the text that ends a subscription's stream."""

from __future__ import annotations

import json

from ..errors import DisconnectedError, HoldfastError, from_wire, to_wire


def encode_failure(error: HoldfastError) -> str:
    """The text a stream fails with for ``error``."""
    return json.dumps(to_wire(error))


def decode_failure(text: str, resume_after: int) -> HoldfastError:
    """The error in ``text``.

    Anything else, which a node that goes away may say, is a cut and not an end: DisconnectedError, to go on after the
    index ``resume_after``.
    """
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        return DisconnectedError(text, resume_offset=resume_after)
    return from_wire(body)
