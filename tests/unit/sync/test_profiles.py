"""Profiles: what may be set, and what is said about the rest."""

from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.sync.profiles import INTEROP, LAN, PROFILES, profile_named


def test_profiles_have_names() -> None:
    assert set(PROFILES) == {"lan", "wan", "interop", "interop-nim"}
    assert profile_named("interop") is INTEROP
    with pytest.raises(UsageError, match="'x' is none of lan, wan, interop, interop-nim"):
        profile_named("x")


def test_values_are_replaced_by_name() -> None:
    assert LAN.replaced(resend_s=3, history_max=5)._asdict() == LAN._asdict() | {"resend_s": 3, "history_max": 5}
    with pytest.raises(UsageError, match="retry_s: no such setting") as caught:
        LAN.replaced(retry_s=3)
    assert caught.value.field == "retry_s"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("history_max", 0),
        ("bloom_error_rate", 0),
        ("bloom_error_rate", 1),
        ("resend_s", 0),
        ("resend_s", 1e9),
        ("sync_s", 31.0),
        ("repair_min_s", 1.0),
        ("lost_s", -1),
        ("causal_entries", -1),
    ],
)
def test_what_cannot_be_is_named(name: str, value: float) -> None:
    with pytest.raises(UsageError) as caught:
        LAN.replaced(**{name: value})
    assert caught.value.field == name
