"""How the filter rolls, and whose filters it reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.sync.core.parts.rolling_bloom import RollingBloom
from holdfast.sync.model import Dialect
from holdfast.sync.wire.bloom import Bloom, Shape, shape, unsigned_hashes
from holdfast.sync.wire.protobuf import bytes_field, fields, number_field

PUBLIC = shape(10_000, 0.001)


def places(a: int, b: int, size: Shape) -> list[int]:
    return [(a % size.bits + n * (b % size.bits)) % size.bits for n in range(size.hashes)]


@pytest.mark.parametrize(("dialect", "order"), [("spec", "big"), ("nim", "little")])
def test_the_bits_are_those_of_words_in_the_order_of_the_wire(dialect: Dialect, order: str) -> None:
    bloom = RollingBloom(dialect, 10_000, 0.001, adaptive=False)
    words = [0] * (1 + PUBLIC.bits // 64)
    for number in range(200):
        hashes = bloom.hashes(f"id-{number}")
        bloom.add(hashes)
        for place in places(*hashes, PUBLIC):
            words[place // 64] |= 1 << place % 64
    expected = b"".join([word.to_bytes(8, order) for word in words])  # type: ignore[arg-type]
    wire = bloom.wire()
    if dialect == "spec":
        assert wire == expected
    else:
        assert [(field, value) for field, value, _, _ in fields(wire)] == [
            (1, expected),
            (2, 10_000),
            (3, 1_000),
            (4, 10),
            (5, 150_000),
        ]
    read = bloom.read(wire)
    assert read is not None
    assert all(read.has(bloom.hashes(f"id-{number}")) for number in range(200))
    assert not any(read.has(bloom.hashes(f"other-{number}")) for number in range(200))


@given(st.sets(st.text(min_size=1), max_size=100))
@pytest.mark.parametrize("dialect", ["spec", "nim"])
def test_nothing_in_it_is_ever_denied(dialect: Dialect, items: set[str]) -> None:
    bloom = RollingBloom(dialect, 512, 0.01, adaptive=True)
    for item in items:
        if bloom.add(bloom.hashes(item)):
            bloom.rebuild([bloom.hashes(one) for one in items])
    assert all(bloom.has(item) for item in items)


def test_it_errs_as_rarely_as_it_says() -> None:
    bloom = RollingBloom("spec", 512, 0.01, adaptive=False)
    for number in range(512):
        bloom.add(bloom.hashes(f"in-{number}"))
    wrong = sum(bloom.has(f"out-{number}") for number in range(10_000))
    assert wrong < 200


def test_it_grows_with_what_it_holds_and_then_forgets_the_oldest() -> None:
    bloom = RollingBloom("spec", 256, 0.01, adaptive=True)
    held: list[str] = []
    sizes = [bloom.byte_size]
    rebuilt = 0
    for number in range(2_000):
        held.append(f"m{number}")
        if bloom.add(bloom.hashes(held[-1])):
            rebuilt += 1
            held = held[-bloom.keeps :]
            bloom.rebuild([bloom.hashes(one) for one in held])
        if bloom.byte_size != sizes[-1]:
            sizes.append(bloom.byte_size)
        assert bloom.count <= 256 * 6 // 5
        assert all(bloom.has(name) for name in held[-100:])
    assert sizes == [shape(capacity, 0.01).byte_size for capacity in (64, 128, 256)]
    assert rebuilt <= 2 + 2_000 // (256 * 2 // 5)
    assert not bloom.has("m0")


def test_a_filter_of_a_size_nobody_agreed_on_says_nothing() -> None:
    bloom = RollingBloom("spec", 512, 0.01, adaptive=True)
    assert bloom.read(bytes(shape(64, 0.01).byte_size)) is not None
    for size in (0, 1, 87, 18_752, 1_000_000):
        assert bloom.read(bytes(size)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        bytes_field(1, bytes(8)),
        bytes_field(1, bytes(8)) + number_field(4, 3) + number_field(5, 64),
        bytes_field(1, bytes(8)) + number_field(4, 65) + number_field(5, 60),
        bytes_field(1, bytes(8)) + number_field(4, 2**60) + number_field(5, 60),
        bytes_field(1, bytes(8)) + number_field(4, 3) + number_field(5, 2**60),
        bytes_field(1, bytes(8)) + number_field(4, 0) + number_field(5, 60),
    ],
)
def test_a_nim_filter_that_contradicts_itself_says_nothing(data: bytes) -> None:
    assert RollingBloom("nim", 512, 0.01, adaptive=True).read(data) is None


def test_a_nim_filter_of_another_size_is_read_by_its_own_parameters() -> None:
    other = Bloom("nim", shape(50, 0.05), 0.05)
    other.add(unsigned_hashes("x"))
    read = RollingBloom("nim", 512, 0.01, adaptive=True).read(other.wire())
    assert read is not None
    assert read.has(unsigned_hashes("x")) and not read.has(unsigned_hashes("y"))
