from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.nats.keys import token_of

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=80)


@given(KEYS, KEYS)
def test_tokens_are_as_different_as_keys_and_no_subject_minds_them(one: str, other: str) -> None:
    assert (token_of(one) == token_of(other)) == (one == other)
    assert token_of(one).isascii() and not set(token_of(one)) & set(" .*>\t\r\n")
    assert 0 < len(token_of(one * 9)) <= 180


def test_what_people_read_stays_readable() -> None:
    assert token_of("job/9mgk-1_b") == "job/9mgk-1_b"
    assert token_of("a.b=é") == "a=2Eb=3D=C3=A9"
