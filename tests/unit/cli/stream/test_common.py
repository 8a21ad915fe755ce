"""Positions, times and parts as the stream commands take them."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli.stream import append as stream_append
from holdfast.cli.stream.append import even_parts
from holdfast.cli.stream.common import MOMENT, OFFSET, left_text
from holdfast.durable.model import ProducerMark


@pytest.mark.parametrize(
    ("text", "offset"), [("0", 0), ("17", 17), ("-5", -5), ("0000000000000000_0000000000000042", 42), ("0_7", 7)]
)
def test_offsets(text: str, offset: int) -> None:
    assert OFFSET.convert(text, None, None) == offset


@pytest.mark.parametrize("text", ["", "-", "x", "1_2", "--3", "1.5", "\u0663", "0_", "0_-1"])
def test_what_is_no_offset(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not an offset"):
        OFFSET.convert(text, None, None)


def test_times() -> None:
    at = datetime(2030, 1, 31, 12, tzinfo=UTC).timestamp()
    for text in ("2030-01-31T12:00:00Z", "2030-01-31t12:00:00z", "2030-01-31T13:00:00+01:00", str(at)):
        assert MOMENT.convert(text, None, None) == at
    for text in ("", "tomorrow", "2030-13-01"):
        with pytest.raises(click.BadParameter, match="neither a time"):
            MOMENT.convert(text, None, None)


def test_how_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.cli.stream.common.time.time", lambda: 1000.0)
    assert [left_text(1000.0 + s) for s in (-5, 30, 600, 8000, 900_000)] == ["0s", "30s", "10m", "2h", "10d"]


@given(st.binary(max_size=40), st.integers(1, 9))
def test_parts_are_the_same_for_the_same_content_and_the_last_is_known(data: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_append, "PART_BYTES", size)
        parts = list(even_parts(io.BytesIO(data)))
    assert b"".join(part for part, _ in parts) == data
    assert [last for _, last in parts] == [False] * (len(parts) - 1) + [True] * bool(parts)
    assert all(len(part) == size for part, last in parts if not last)


def test_marks() -> None:
    option = next(param for param in stream_append.append.params if param.name == "producer")
    assert option.type.convert("a:b:1:2", None, None) == ProducerMark("a:b", 1, 2)
    for wrong in ("a", "a:1", ":1:2", "a:x:1", "a:1:-2", "a:1:", "a::1"):
        with pytest.raises(click.BadParameter, match="ID:EPOCH:SEQ"):
            option.type.convert(wrong, None, None)
