"""Proofs of knowing a secret: HMAC-SHA256 without OpenSSL.

``hmac`` and ``hashlib`` load libcrypto, 4 MB of resident memory that a keeper has no other use for; CPython's own
SHA-256 is there without it.  Interpreters built without that fall back on hashlib.
"""

from __future__ import annotations

from _operator import _compare_digest
from collections.abc import Callable
from typing import Any

_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

PROOF_BYTES = 32
"""Length of a proof."""


def _find_sha256() -> Callable[[bytes], Any]:
    for module_name in ("_sha2", "_sha256", "hashlib"):
        try:
            module = __import__(module_name)
        except ImportError:
            continue
        found: Callable[[bytes], Any] = module.sha256
        return found
    raise ImportError("this interpreter has no SHA-256")


_sha256 = _find_sha256()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104, FIPS 198-1) of ``message`` under ``key``."""
    if len(key) > _BLOCK_BYTES:
        key = _sha256(key).digest()
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    inner: bytes = _sha256(padded.translate(_INNER) + message).digest()
    outer: bytes = _sha256(padded.translate(_OUTER) + inner).digest()
    return outer


def same(one: bytes, other: bytes) -> bool:
    """Whether the two are equal, in a time that does not tell where they differ."""
    return bool(_compare_digest(one, other))
