"""The filter: the bits of both implementations, and the places of an item."""

from __future__ import annotations

import pytest

from holdfast.sync.wire.bloom import Shape, shape, signed_hashes, unsigned_hashes

PUBLIC = shape(10_000, 0.001)


def places(a: int, b: int, size: Shape) -> list[int]:
    return [(a % size.bits + n * (b % size.bits)) % size.bits for n in range(size.hashes)]


def test_the_size_everybody_uses() -> None:
    assert Shape(10_000, 150_000, 10) == PUBLIC
    assert PUBLIC.byte_size == 18_752


@pytest.mark.parametrize(
    ("item", "unsigned", "signed"),
    [
        ("a", 1009084850, 1009084850),
        ("hello", 613153351, 613153351),
        ("msg-1", 1323227018, 1323227018),
        ("m4", 3151261418, 1143705878),
        ("z", 3254163991, 1040803305),
    ],
)
def test_the_two_hashes(item: str, unsigned: int, signed: int) -> None:
    assert unsigned_hashes(item).a == unsigned
    assert signed_hashes(item).a == signed


def test_the_places_in_the_javascript_filter() -> None:
    assert places(*signed_hashes("a"), PUBLIC)[0] == 34_850
    assert places(*signed_hashes("a"), PUBLIC)[3] == 60_425
    assert places(*signed_hashes("a b"), PUBLIC)[0] == 108_525
