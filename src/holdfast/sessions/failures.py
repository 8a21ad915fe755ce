"""Errors as the text that ends the stream of an attached client."""

from __future__ import annotations

import json

from ..errors import DisconnectedError, HoldfastError, from_wire, to_wire


def encode_failure(error: HoldfastError) -> str:
    """The text a stream fails with for ``error``."""
    return json.dumps(to_wire(error))


def decode_failure(text: str) -> HoldfastError:
    """The error in ``text``; anything else, which a node that goes away may say, is a cut: DisconnectedError."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "code" not in body:
        return DisconnectedError(text)
    return from_wire(body)
