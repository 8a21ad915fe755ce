"""The birth certificate: it says all, exactly, and keeps its secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.jobs.keeper.certificate import Certificate, decode, encode

SECRET = bytes(range(32))
CERTIFICATE = Certificate(
    job="0123456789ab", secret=SECRET, command=["sh", "-c", "true"], runtime_dir="/run/j", spill_dir="/var/j"
)

TEXT = st.text(st.characters(exclude_characters="\0"))
NAME = TEXT.filter(lambda text: text and "=" not in text)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "job": TEXT.filter(bool),
    "secret": st.binary(min_size=32, max_size=32),
    "command": st.lists(TEXT, max_size=4).map(lambda rest: ["x", *rest]),
    "runtime_dir": TEXT.map(lambda text: "/" + text),
    "spill_dir": TEXT.map(lambda text: "/" + text),
    "env": st.dictionaries(NAME, TEXT, max_size=4),
    "cwd": TEXT.map(lambda text: "/" + text),
    "tty": st.booleans(),
    "rows": st.integers(0, 65_535),
    "columns": st.integers(0, 65_535),
    "on_full": st.sampled_from(["block", "drop-oldest"]),
    "spill_bytes_max": st.integers(0, 1 << 40),
    "retention_s": st.floats(0, 1e9),
}
CERTIFICATES = st.fixed_dictionaries(FIELDS).map(lambda fields: Certificate(**fields))


@given(CERTIFICATES)
def test_what_is_encoded_is_decoded(certificate: Certificate) -> None:
    assert decode(encode(certificate)) == certificate


def body(**changes: Any) -> bytes:
    whole = json.loads(encode(CERTIFICATE))
    whole.update(changes)
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"job": ""}, "job"),
        ({"job": 7}, "job"),
        ({"job": ...}, "job"),
        ({"secret": "00"}, "secret"),
        ({"secret": "zz" * 32}, "secret"),
        ({"secret": 5}, "secret"),
        ({"command": []}, "command"),
        ({"command": "ls"}, "command"),
        ({"command": ["ls", 1]}, "command[1]"),
        ({"command": [""]}, "command[0]"),
        ({"command": ["a\0b"]}, "command[0]"),
        ({"env": ["A=1"]}, "env"),
        ({"env": {"A=B": "1"}}, "env"),
        ({"env": {"A": 1}}, "env.A"),
        ({"cwd": "relative"}, "cwd"),
        ({"runtime_dir": "run"}, "runtime_dir"),
        ({"spill_dir": ...}, "spill_dir"),
        ({"tty": 1}, "tty"),
        ({"rows": -1}, "rows"),
        ({"columns": 65_536}, "columns"),
        ({"columns": True}, "columns"),
        ({"on_full": "explode"}, "on_full"),
        ({"ring_bytes": 0}, "ring_bytes"),
        ({"spill_bytes_max": 1.5}, "spill_bytes_max"),
        ({"retention_s": "7d"}, "retention_s"),
        ({"retention_s": float("inf")}, "retention_s"),
        ({"grace_s": -1}, "grace_s"),
        ({"umask": 0o1000}, "umask"),
        ({"ulimits": [1]}, "ulimits"),
        ({"ulimits": {"nofile": -2}}, "ulimits.nofile"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_field_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode(body(**changes))
    assert caught.value.field == field
    assert caught.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        decode(data)
    assert caught.value.field == "certificate"


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        decode(data)


def test_the_secret_is_in_no_repr_and_no_message() -> None:
    assert SECRET.hex() not in repr(CERTIFICATE)
    assert repr(SECRET) not in f"{CERTIFICATE}"
    with pytest.raises(UsageError) as caught:
        decode(body(secret=SECRET.hex() + "00"))
    assert SECRET.hex() not in str(caught.value)
