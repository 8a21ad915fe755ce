"""Key names and the detach keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli.jobs.keys import DetachWatch, key_bytes, parse_detach_keys, spell_keys
from holdfast.errors import UsageError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C-c", b"\x03"),
        ("ctrl-c", b"\x03"),
        ("^C", b"\x03"),
        ("C-]", b"\x1d"),
        ("C-space", b"\0"),
        ("C-?", b"\x7f"),
        ("Enter", b"\r"),
        ("M-x", b"\x1bx"),
        ("M-C-c", b"\x1b\x03"),
        ("F5", b"\x1b[15~"),
        ("a", b"a"),
        ("é", "é".encode()),
    ],
)
def test_a_key_is_the_bytes_a_terminal_sends(name: str, expected: bytes) -> None:
    assert key_bytes(name) == expected


@pytest.mark.parametrize("name", ["", "C-", "C-ü", "Hyper-x", "F99"])
def test_an_unknown_key_is_a_usage_error_naming_it(name: str) -> None:
    with pytest.raises(UsageError, match="key"):
        key_bytes(name)


def test_detach_keys_are_a_sequence_and_may_be_none() -> None:
    assert parse_detach_keys("ctrl-] d") == b"\x1dd"
    assert parse_detach_keys("C-p,C-q") == b"\x10\x11"
    assert parse_detach_keys("none") == b""


def test_the_sequence_detaches_and_what_came_before_is_sent() -> None:
    watch = DetachWatch(b"\x1dd")
    assert watch.feed(b"abc\x1d") == (b"abc", False)
    assert watch.feed(b"d rest") == (b"", True)


def test_half_a_sequence_is_sent_on_once_it_is_clear() -> None:
    watch = DetachWatch(b"\x1dd")
    assert watch.feed(b"\x1d") == (b"", False)
    assert watch.feed(b"x") == (b"\x1dx", False)


def test_tilde_dot_detaches_only_at_the_start_of_a_line() -> None:
    assert DetachWatch(b"").feed(b"~.") == (b"", True)
    watch = DetachWatch(b"")
    assert watch.feed(b"a~.") == (b"a~.", False)
    assert watch.feed(b"\r~") == (b"\r", False)
    assert watch.feed(b".") == (b"", True)


@given(st.lists(st.binary(max_size=8), max_size=20))
def test_without_a_match_every_byte_is_sent_in_order(parts: list[bytes]) -> None:
    typed = b"".join(parts).replace(b"\x1d", b"").replace(b"~", b"")
    watch = DetachWatch(b"\x1dd")
    sent = b"".join(watch.feed(bytes([value]))[0] for value in typed)
    assert sent == typed


@pytest.mark.parametrize("text", ["ctrl-] d", "ctrl-p ctrl-q", "esc", "a", "enter \u00e9"])
def test_detach_keys_are_told_as_they_were_given(text: str) -> None:
    spelled = spell_keys(parse_detach_keys(text))
    assert parse_detach_keys(spelled) == parse_detach_keys(text)
