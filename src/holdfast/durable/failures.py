"""Errors as the text that ends a reader's stream."""

from __future__ import annotations

import json

from ..errors import DisconnectedError, HoldfastError, from_wire, to_wire


def encode_failure(error: HoldfastError) -> str:
    """The text a stream fails with for ``error``."""
    return json.dumps(to_wire(error))


def decode_failure(text: str, position: int) -> HoldfastError:
    """The error in ``text``; anything else, as a node that goes away may say, is a cut: go on from ``position``."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        return DisconnectedError(text, resume_offset=position)
    return from_wire(body)
