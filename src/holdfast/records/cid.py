"""CIDs: the names of records and artifacts, made of their SHA-256.

A CID here is the text of a CIDv1 with a sha2-256 multihash: ``b`` and the unpadded lower case base32 of version,
codec, hash function, digest length and digest.  Records have the codec 1 as the AGNTCY Directory's do, artifacts the
codec ``raw``.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from ..errors import UsageError

RECORD: Final = 0x01
"""Codec of records and referrers."""
RAW: Final = 0x55
"""Codec of artifacts."""
CID_LENGTH: Final = 59
"""Characters of a CID."""
DIGEST_BYTES: Final = 32

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
"""The two characters of each number of 10 bits."""
_SHIFTS: Final = tuple(range(280, -10, -10))
"""Where the 29 pairs of 290 bits begin: 36 bytes, and 2 bits of nothing."""
_HEADS: Final = {codec: int.from_bytes((1, codec, 0x12, DIGEST_BYTES), "big") << 258 for codec in (RECORD, RAW)}
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}


def record_cid(canonical: bytes) -> str:
    """The name of the record whose canonical form this is."""
    return cid_of_digest(sha256(canonical).digest())


def cid_of_digest(digest: bytes, codec: int = RECORD) -> str:
    """The CID of a SHA-256."""
    bits = _HEADS[codec] | int.from_bytes(digest, "big") << 2
    pairs = _PAIRS
    return "b" + "".join([pairs[bits >> shift & 1023] for shift in _SHIFTS])


def digest_of_cid(cid: str, codec: int = RECORD, field: str = "cid") -> bytes:
    """The SHA-256 in ``cid``.  UsageError naming ``field`` for anything but a CID of this codec as written here."""
    bits = 0
    if len(cid) != CID_LENGTH or cid[0] != "b":
        raise _refused(cid, field)
    try:
        for character in cid[1:]:
            bits = bits << 5 | _VALUES[character]
    except KeyError:
        raise _refused(cid, field) from None
    head = _HEADS.get(codec, 0)
    if bits & 3 or bits >> 258 != head >> 258:
        raise _refused(cid, field)
    return (bits >> 2 & (1 << 256) - 1).to_bytes(DIGEST_BYTES, "big")


def _refused(cid: str, field: str) -> UsageError:
    shown = cid if len(cid) <= 2 * CID_LENGTH else f"{cid[:CID_LENGTH]}…"
    return UsageError(f"{field}: {shown!r} is no CID of this kind", field=field)
