"""What a job did to a terminal is undone, however its output was cut, and nothing else is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli.jobs.modes import ModeWatch


def undone(*parts: bytes) -> bytes:
    watch = ModeWatch()
    for part in parts:
        watch.feed(part)
    return watch.undo()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"plain text, \x07 and more", b""),
        (b"\x1b[?2004h$ ", b"\x1b[?2004l"),
        (b"\x1b[?2004h$ \x1b[?2004l", b""),
        (b"\x1b[?1049h\x1b[?1000;1006h\x1b[?25l", b"\x1b[?1000l\x1b[?1006l\x1b[?1049l\x1b[?25h"),
        (b"\x1b[?25l\x1b[?25h", b""),
        (b"\x1b=", b"\x1b>"),
        (b"\x1b=\x1b>", b""),
        (b"\x1b[1;31mred", b"\x1b[m"),
        (b"\x1b[1;31mred\x1b[0m", b""),
        (b"\x1b[38:5:1mred", b"\x1b[m"),
        (b"\x1b[?1049h\x1b[31m\x1bc", b""),
        (b"\x1b[?1049h\x1b[!p", b""),
        (b"\x1b[?1049l", b""),
        (b"\x1b[?h\x1b[?;;l\x1b[?99999h", b""),
    ],
)
def test_what_was_asked_for_is_undone(output: bytes, expected: bytes) -> None:
    assert undone(output) == expected
    assert undone(*(bytes([value]) for value in output)) == expected


def test_it_is_undone_once() -> None:
    watch = ModeWatch()
    watch.feed(b"\x1b[?2004h")
    assert watch.undo()
    assert watch.undo() == b""


PIECES = st.sampled_from(
    [b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[m", b"\x1b[7m", b"\x1b", b"[?2004h", b"text\n", b"\x1b["]
)


@given(pieces=st.lists(PIECES), cuts=st.lists(st.integers(0, 200)))
def test_cuts_change_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    output = b"".join(pieces)
    places = sorted({0, len(output), *(cut for cut in cuts if cut < len(output))})
    parts = [output[begin:end] for begin, end in pairwise(places)]
    assert undone(*parts) == undone(output)


@given(st.lists(st.binary(max_size=300)))
def test_any_bytes_will_do(parts: list[bytes]) -> None:
    watch = ModeWatch()
    for part in parts:
        watch.feed(part)
        assert len(watch._held) < 100
