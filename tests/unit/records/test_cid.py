from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.records.cid import CID_LENGTH, RAW, RECORD, cid_of_digest, digest_of_cid, record_cid

DIGESTS = st.binary(min_size=32, max_size=32)


@given(DIGESTS, st.sampled_from([RECORD, RAW]))
def test_there_and_back(digest: bytes, codec: int) -> None:
    cid = cid_of_digest(digest, codec)
    by_hand = base64.b32encode(bytes([1, codec, 0x12, 32]) + digest).decode().rstrip("=").lower()
    assert cid == "b" + by_hand
    assert len(cid) == CID_LENGTH
    assert digest_of_cid(cid, codec) == digest


def test_how_they_begin() -> None:
    assert record_cid(b"{}").startswith("baearei")
    assert cid_of_digest(sha256(b"").digest(), RAW).startswith("bafkrei")


@given(st.text(max_size=70))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        digest_of_cid(text, field="previous")
    assert caught.value.field == "previous"


@given(DIGESTS, st.integers(0, CID_LENGTH - 1), st.sampled_from("abz27AB01=\u00e9\U0001f600"))
def test_a_changed_character_gives_another_digest_or_none(digest: bytes, at: int, character: str) -> None:
    cid = cid_of_digest(digest)
    changed = cid[:at] + character + cid[at + 1 :]
    try:
        found = digest_of_cid(changed)
    except UsageError:
        return
    assert (found == digest) == (changed == cid)
    assert cid_of_digest(found) == changed, "one digest has one name"


def test_what_is_no_cid_of_ours() -> None:
    good = record_cid(b"{}")
    raw = cid_of_digest(sha256(b"{}").digest(), RAW)
    last = good[-1]
    odd = chr(ord(last) + 1) if last.isalpha() and last != "z" else "b"
    for text in ("", "b", good[:-1], good + "a", good.upper(), "z" + good[1:], good[:-1] + odd, raw, " " + good[1:]):
        with pytest.raises(UsageError):
            digest_of_cid(text)
    with pytest.raises(UsageError):
        digest_of_cid(good, RAW)
    with pytest.raises(UsageError) as caught:
        digest_of_cid("x" * 100_000)
    assert len(str(caught.value)) < 200
