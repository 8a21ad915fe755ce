from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.simulation.pattern import PERIOD_BYTES, SLICE_BYTES_MAX, Generator, Pattern, Verifier, first_difference

PATTERN = Pattern(seed=1)


def test_slices_agree_wherever_they_are_cut() -> None:
    start = PERIOD_BYTES - 1000
    whole = PATTERN.slice(start, 3000)
    assert whole == PATTERN.slice(start, 1500) + PATTERN.slice(start + 1500, 1500)
    assert len(PATTERN.slice(5, 10**9)) == SLICE_BYTES_MAX
    assert Pattern(2).slice(0, 100) != PATTERN.slice(0, 100) == Pattern(1).slice(0, 100)


def test_bytes_moved_by_any_ring_size_differ() -> None:
    for power in range(4, 30):
        assert PATTERN.slice(0, 64) != PATTERN.slice(1 << power, 64)


def test_what_the_generator_makes_satisfies_the_verifier() -> None:
    generator, verifier = Generator(PATTERN, 3_000_000), Verifier(PATTERN)
    while not generator.finished:
        data = generator.peek(50_000)
        verifier.check(generator.offset, data)
        generator.take(len(data))
    verifier.check(verifier.offset, memoryview(b""))
    assert (verifier.received, verifier.mismatches, verifier.first_mismatch) == (3_000_000, 0, None)


def test_long_and_foreign_shapes_are_compared_too() -> None:
    verifier = Verifier(PATTERN)
    data = PATTERN.slice(0, SLICE_BYTES_MAX) + PATTERN.slice(SLICE_BYTES_MAX, 100)
    verifier.check(0, memoryview(bytearray(data)))
    assert verifier.mismatches == 0


@settings(max_examples=50, deadline=None)
@given(wrong=st.integers(0, 99_999))
def test_the_first_wrong_byte_is_found(wrong: int) -> None:
    verifier = Verifier(PATTERN)
    data = bytearray(PATTERN.slice(0, 60_000) + PATTERN.slice(60_000, 40_000))
    data[wrong] ^= 1
    verifier.check(0, bytes(data))
    assert (verifier.mismatches, verifier.first_mismatch) == (1, wrong)


def test_bytes_out_of_place_are_mismatches() -> None:
    verifier = Verifier(PATTERN)
    verifier.check(0, PATTERN.slice(0, 10))
    verifier.check(20, PATTERN.slice(20, 10))
    assert verifier.first_mismatch == 10
    verifier.skip(30, 5)
    verifier.skip(30, 5)
    assert (verifier.mismatches, verifier.gap_bytes, verifier.offset) == (2, 10, 35)


def test_first_difference() -> None:
    assert first_difference(b"abcd", b"abXd") == 2
    assert first_difference(b"abcd", b"abcd") == 4
    assert first_difference(b"abcd", b"ab") == 2
