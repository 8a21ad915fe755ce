"""Tokens: what goes in comes out, and nothing else is taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import Unauthenticated
from holdfast.limits import LIMITS
from holdfast.security.identity import ROLES, SCOPES, Identity
from holdfast.security.keys import NodeKey, node_key
from holdfast.security.tokens import decode_token, encode_token

NOW = 1_700_000_000
KEY = node_key(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = node_key(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
CLAIMS: dict[str, Any] = {
    "iss": KEY.node_id,
    "sub": "alice",
    "scope": "jobs:read",
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "t",
}

identities = st.builds(
    Identity,
    subject=st.text("abc@._-", min_size=1, max_size=20),
    scopes=st.frozensets(st.sampled_from(SCOPES)),
    job=st.sampled_from(["", "0123456789ab"]),
    channel=st.sampled_from(["", "p/c"]),
    role=st.sampled_from(ROLES),
    token_id=st.text("0123456789", min_size=1, max_size=12),
    local=st.just(False),
    expires_at=st.integers(NOW + 1, NOW + 10**9).map(float),
    login=st.just(""),
)


def sign(claims: dict[str, Any], key: NodeKey = KEY, **headers: Any) -> str:
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers=headers)


def part(body: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=")


def refused(token: str, why: str, now: float = NOW, key: NodeKey = KEY) -> None:
    with pytest.raises(Unauthenticated, match=why) as caught:
        decode_token(key, token, now)
    assert caught.value.__cause__ is None
    assert len(token) < 20 or token not in str(caught.value)


@given(identities)
def test_what_goes_in_comes_out(identity: Identity) -> None:
    assert decode_token(KEY, encode_token(KEY, identity, NOW), NOW) == identity


@given(identities, st.data())
def test_one_changed_character_is_one_too_many(identity: Identity, data: st.DataObject) -> None:
    token = encode_token(KEY, identity, NOW)
    place = data.draw(st.integers(0, len(token) - 2))  # the last one has bits that mean nothing
    other = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda character: character != token[place]))
    refused(token[:place] + other + token[place + 1 :], "not one of this node's")


@given(st.text(max_size=200) | st.from_regex(r"[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{0,40}", fullmatch=True))
def test_anything_else_is_none(text: str) -> None:
    refused(text, "token")


def test_another_nodes_token() -> None:
    refused(sign(CLAIMS, OTHER), "not one of this node's")
    refused(sign({**CLAIMS, "iss": OTHER.node_id}), "not one of this node's")


def test_expired_and_not_yet_in_force() -> None:
    token = sign(CLAIMS)
    assert decode_token(KEY, token, NOW + 59.9).subject == "alice"
    refused(token, "expired", NOW + 60)
    refused(token, "not in force yet", NOW - 61)


def test_no_algorithm_but_ours() -> None:
    payload = part(CLAIMS)
    for none in ("none", "None", "NONE", ""):
        refused((part({"alg": none, "typ": "JWT"}) + b"." + payload + b".").decode(), "not one of this node's")
    raw = KEY.public.public_bytes_raw()
    pem = KEY.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (raw, pem, raw.hex().encode(), b""):  # the public key taken for a shared secret
        signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + payload
        tag = base64.urlsafe_b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).rstrip(b"=")
        refused((signed + b"." + tag).decode(), "not one of this node's")


def test_a_key_in_the_header_is_not_looked_at() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(OTHER.public.public_bytes_raw().hex()).decode()}
    refused(sign(CLAIMS, OTHER, jwk=jwk, kid="x", jku="http://127.0.0.1/keys"), "not one of this node's")


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_claim_is_needed(name: str) -> None:
    refused(sign({key: value for key, value in CLAIMS.items() if key != name}), "not one of this node's")


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "x"},
        {"nbf": NOW},
        {"session": "x"},
        {"scope": "jobs:read everything"},
        {"scope": ["jobs:read"]},
        {"role": "owner"},
        {"job": 1},
        {"channel": None},
        {"sub": ""},
        {"jti": ""},
        {"exp": NOW + 60.5},
        {"exp": True},
        {"exp": 10**400},
        {"iat": -1},
        {"iat": "now"},
    ],
    ids=str,
)
def test_what_is_not_understood_is_refused_whole(change: dict[str, Any]) -> None:
    refused(sign({**CLAIMS, **change}), "token")


def test_a_token_too_long_is_not_looked_at() -> None:
    refused("x" * (LIMITS.token_bytes_max + 1), "token_bytes_max")


def test_a_header_that_is_too_deep() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 2800).rstrip(b"=").decode()
    refused(f"{deep}.{deep}."[: LIMITS.token_bytes_max], "not one of this node's")
