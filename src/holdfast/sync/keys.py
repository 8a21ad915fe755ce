"""The key of a group: 32 random bytes that its participants share, and how they are written down.

Short commands of the shell import this: nothing but the standard library.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from ..errors import UsageError

KEY_BYTES: Final = 32
_PREFIX: Final = "hfg1_"
"""Before the key in a file: what it is, for people and for programs that look for secrets where they should not be."""


def new_key() -> bytes:
    """A new key, from the system's generator."""
    return os.urandom(KEY_BYTES)


def key_text(key: bytes) -> str:
    """``key`` as one word of ASCII."""
    from base64 import urlsafe_b64encode

    return _PREFIX + urlsafe_b64encode(check_key(key)).decode().rstrip("=")


def parse_key(text: str) -> bytes:
    """:func:`key_text` backwards, white space around it ignored.  UsageError, which does not hold it, if it is none."""
    from base64 import b64decode

    word = text.strip()
    try:
        found = b64decode(word.removeprefix(_PREFIX) + "=", b"-_", validate=True)
    except ValueError:
        found = b""
    if not word.startswith(_PREFIX) or len(found) != KEY_BYTES:
        raise UsageError(
            f"key: not one of a group; `holdfast group key` makes one, it begins with {_PREFIX}", field="key"
        )
    return found


def check_key(key: bytes) -> bytes:
    """``key`` itself; UsageError if it is no key."""
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise UsageError(f"key: must be {KEY_BYTES} bytes", field="key")
    return key


def read_key(path: str) -> bytes:
    """The key in a file.  UsageError if it cannot be read, if others can read it, or if it holds none."""
    try:
        with open(path, encoding="ascii") as file:
            found = os.fstat(file.fileno())
            mode = stat.S_IMODE(found.st_mode)
            if stat.S_ISREG(found.st_mode) and mode & 0o077:
                raise UsageError(f"key_file: others may read {path} (mode {mode:04o}); chmod 600 it", field="key_file")
            return parse_key(file.read(1024))
    except UnicodeDecodeError:
        raise UsageError(f"key_file: {path} holds no key of a group", field="key_file") from None
    except OSError as error:
        raise UsageError(f"key_file: cannot read {path}: {error.strerror}", field="key_file") from error
