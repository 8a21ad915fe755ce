"""The HMAC that needs no OpenSSL is the one everybody has."""

from __future__ import annotations

import hashlib
import hmac
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.rpc.handshake import proofs


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_our_hmac_is_the_standard_one(key: bytes, message: bytes) -> None:
    assert proofs.hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


def test_without_a_builtin_sha256_hashlib_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)
    assert proofs._find_sha256() is hashlib.sha256
    monkeypatch.setitem(sys.modules, "hashlib", None)
    with pytest.raises(ImportError):
        proofs._find_sha256()


def test_proofs_are_compared_whole() -> None:
    assert proofs.same(b"ab", b"ab") and not proofs.same(b"ab", b"ac") and not proofs.same(b"ab", b"abc")
