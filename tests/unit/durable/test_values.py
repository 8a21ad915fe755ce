"""What callers may give a stream beside its content."""

from __future__ import annotations

import pytest

from holdfast.durable.values import check_content_type, check_lifetime
from holdfast.errors import UsageError


@pytest.mark.parametrize("text", ["text/plain", "application/json; charset=utf-8", "a/b;x=\xe4", "x-a/vnd.b+json"])
def test_media_types(text: str) -> None:
    assert check_content_type(f"  {text} ") == text


@pytest.mark.parametrize("text", ["text", "/", "a/", "a/b\r\nX: 1", "a b/c", "a/b; \x00", "ä/b", "a/b;\u20ac"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_content_type(text)
    assert caught.value.field == "content_type"


def test_no_type_is_none() -> None:
    assert check_content_type(" ") is None


def test_lifetimes() -> None:
    for ttl_s, expires_at_s in ((None, None), (0, None), (2**53 - 1, None), (None, 0.0), (None, 253_402_300_799.0)):
        check_lifetime(ttl_s, expires_at_s)
    for ttl_s, expires_at_s, field in (
        (1, 1.0, "ttl_s"), (-1, None, "ttl_s"), (2**53, None, "ttl_s"), (None, -1.0, "expires_at_s"),
        (None, 1e12, "expires_at_s"), (None, float("nan"), "expires_at_s"), (None, float("inf"), "expires_at_s"),
    ):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            check_lifetime(ttl_s, expires_at_s)
        assert caught.value.field == field
