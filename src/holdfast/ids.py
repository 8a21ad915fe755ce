"""Identifiers and names: how they are made, and which ones are valid.

Job ids are 12 characters of Crockford's base 32 in lower case (60 random bits): no two letters look
alike, and a prefix of four or five is enough to type.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from .errors import UsageError
from .limits import LIMITS

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 12
_NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_NAME_REST = _NAME_FIRST | frozenset("-.")


def new_id(random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """A fresh random id; ``random_bytes`` is injected in simulations."""
    number = int.from_bytes(random_bytes(8), "big")
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(ID_LENGTH))


def new_token(size: int = 8) -> str:
    """``size`` random bytes in hex, from the system's generator."""
    return os.urandom(size).hex()


def random_fraction() -> float:
    """A float in [0, 1) from the system's generator; for jitter, where ``import random`` costs 4 ms."""
    return int.from_bytes(os.urandom(7), "big") / (1 << 56)


def is_id(text: str) -> bool:
    """Whether ``text`` has the shape of an id."""
    return len(text) == ID_LENGTH and all(character in _ALPHABET for character in text)


def check_name(name: str, field: str = "name") -> str:
    """``name`` itself if it is a valid name; UsageError naming ``field`` and the offence if not.

    Valid: 1 to ``name_length_max`` letters, digits, ``_``, ``-``, ``.``, not starting with ``-`` or ``.``,
    so that a name is never an option, a hidden file or a path.
    """
    if not name:
        raise UsageError(f"{field}: must not be empty", field=field)
    if len(name) > LIMITS.name_length_max:
        raise UsageError(
            f"{field}: {len(name)} characters, over the limit name_length_max = {LIMITS.name_length_max}", field=field
        )
    if name[0] not in _NAME_FIRST:
        raise UsageError(f"{field}: {name!r} must start with an ASCII letter, a digit or '_'", field=field)
    for character in name:
        if character not in _NAME_REST:
            raise UsageError(
                f"{field}: {name!r} holds {character!r}; ASCII letters, digits, '_', '-' and '.' are allowed",
                field=field,
            )
    return name
