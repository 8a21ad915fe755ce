"""The limits hold together, and each says what it is."""

from __future__ import annotations

import pytest

from holdfast.limits import LIMITS, Limits, check_limits

UNITS = {"bytes", "s", "max", "items", "rows", "columns"}


def test_the_defaults_hold_together() -> None:
    assert check_limits(LIMITS) is LIMITS


def test_every_limit_is_positive_unless_it_says_what_nothing_means() -> None:
    unbounded = {"state_bytes_max"}
    assert {name for name, value in LIMITS._asdict().items() if value <= 0} == unbounded


@pytest.mark.parametrize("name", Limits._fields)
def test_the_name_ends_in_a_unit(name: str) -> None:
    assert name.rsplit("_", 1)[-1] in UNITS


@pytest.mark.parametrize(
    "wrong",
    [
        {"packet_bytes": LIMITS.packet_bytes_max + 1},
        {"packet_bytes_max": LIMITS.frame_bytes_max},
        {"window_bytes": LIMITS.ring_bytes + 1},
        {"ping_interval_s": LIMITS.stall_s},
        {"reconnect_first_s": LIMITS.reconnect_last_s + 1},
        {"spill_segment_bytes": LIMITS.spill_bytes_max + 1},
        {"request_bytes_max": LIMITS.frame_bytes_max + 1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        check_limits(LIMITS._replace(**wrong))


def test_small_limits_are_possible() -> None:
    small = LIMITS._replace(packet_bytes=4, packet_bytes_max=8, window_bytes=16, ring_bytes=32, spill_segment_bytes=64)
    assert check_limits(small) is small
