from __future__ import annotations

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.sync.wire.bloom import signed_hashes
from holdfast.sync.wire.unit_hash import murmur_of_units


@given(st.text(st.characters(max_codepoint=127), max_size=30))
def test_for_ascii_it_is_the_usual_hash(text: str) -> None:
    assert murmur_of_units(text) == mmh3.hash(text)


@pytest.mark.parametrize(
    ("text", "signed"), [("a", 1009084850), ("hello", 613153351), ("m4", -1143705878), ("z", -1040803305)]
)
def test_known_hashes(text: str, signed: int) -> None:
    assert murmur_of_units(text) == signed
    assert signed_hashes(text).a == abs(signed)


@given(st.text(st.characters(min_codepoint=128, max_codepoint=255), min_size=1, max_size=30))
def test_up_to_255_units_are_bytes(text: str) -> None:
    assert murmur_of_units(text) == mmh3.hash(text.encode("latin-1"))
    assert signed_hashes(text).a == abs(murmur_of_units(text))


def test_beyond_the_first_plane_only_the_first_unit_counts() -> None:
    assert murmur_of_units("\N{GRINNING FACE}") == murmur_of_units("\N{GRIMACING FACE}")
    assert murmur_of_units("\N{GRINNING FACE}") != murmur_of_units("\N{EURO SIGN}")
