"""Identifiers and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.ids import ID_LENGTH, check_name, is_id, new_id
from holdfast.limits import LIMITS

SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"


@given(st.binary(min_size=8, max_size=8))
def test_every_random_number_gives_an_id_that_is_a_valid_name(noise: bytes) -> None:
    made = new_id(lambda size: noise[:size])
    assert len(made) == ID_LENGTH
    assert is_id(made)
    assert check_name(made) == made


@given(st.integers(0, 2**60 - 1), st.integers(0, 2**60 - 1))
def test_different_numbers_give_different_ids(one: int, other: int) -> None:
    def made(number: int) -> str:
        return new_id(lambda size: number.to_bytes(size, "big"))

    assert (made(one) == made(other)) == (one == other)


def test_ids_of_the_system_differ() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("text", ["", "abc", "0" * 11, "0" * 13, "0000000000il", "ABCDEFGHJKMN", "00000000000-"])
def test_what_is_no_id(text: str) -> None:
    assert not is_id(text)


@given(st.text(SAFE, min_size=1, max_size=1), st.text(SAFE + "-.", max_size=LIMITS.name_length_max - 1))
def test_valid_names_are_returned_unchanged(first: str, rest: str) -> None:
    assert check_name(first + rest) == first + rest


@pytest.mark.parametrize(
    ("name", "offence"),
    [
        ("", "empty"),
        ("-rf", "start with"),
        (".hidden", "start with"),
        ("..", "start with"),
        ("a/b", "'/'"),
        ("a b", "' '"),
        ("a\n", "'\\n'"),
        ("é", "start with"),
        ("aé", "'é'"),
        ("a\0", "'\\x00'"),
    ],
)
def test_invalid_names_are_refused_with_the_field_and_the_offence(name: str, offence: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name, field="job")
    assert caught.value.field == "job"
    assert str(caught.value).startswith("job: ")
    assert offence in str(caught.value)


def test_a_long_name_is_refused_with_the_limit_and_its_value() -> None:
    assert check_name("x" * LIMITS.name_length_max)
    with pytest.raises(UsageError, match=f"name_length_max = {LIMITS.name_length_max}"):
        check_name("x" * (LIMITS.name_length_max + 1))
