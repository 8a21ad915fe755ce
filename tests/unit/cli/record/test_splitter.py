from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli.record.splitter import Format, Piece, Splitter
from holdfast.errors import LimitExceeded, UsageError
from holdfast.limits import LIMITS

ITEM_MAX = LIMITS.record_item_bytes_max


def split(*data: bytes, format: Format = Format.AUTO) -> list[Piece]:
    splitter = Splitter(format)
    found = []
    for part in data:
        splitter.feed(part)
        found += list(splitter)
    splitter.end()
    return [*found, *splitter]


def bodies(*data: bytes, format: Format = Format.AUTO) -> list[tuple[int, Any]]:
    return [(piece.line, json.loads(piece.body)) for piece in split(*data, format=format)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"\n \n", []),
        (b'{"a": 1}', [(1, {"a": 1})]),
        (b'{"a": 1}\n{"b": 2}\n', [(1, {"a": 1}), (2, {"b": 2})]),
        (b'\n\n{"a": 1}\r\n\n{"b": 2}', [(3, {"a": 1}), (5, {"b": 2})]),
        (b'\xef\xbb\xbf{"a": 1}\n', [(1, {"a": 1})]),
        (b'{\n "a": 1\n}\n', [(1, {"a": 1})]),
        (b'\n\n{\n "a": [\n1]\n}\n', [(3, {"a": [1]})]),
        (b'[{"a": 1}, {"b": 2}]', [(1, {"a": 1}), (1, {"b": 2})]),
        (b'[\n{"a": 1},\n{"b": 2}\n]', [(1, {"a": 1}), (1, {"b": 2})]),
        (b"[]", []),
    ],
)
def test_which_it_is_shows_by_itself(text: bytes, found: list[tuple[int, Any]]) -> None:
    assert bodies(text) == found
    assert bodies(*(text[at : at + 1] for at in range(len(text)))) == found


@pytest.mark.parametrize(
    "lines",
    [
        [b"{not json", b'{"a": 1}'],
        [b'{"cut": ', b'{"a": 1}'],
        [b"[1, 2]", b'{"a": 1}', b"5"],
        [b'"text"', b"null"],
        [b"{", b"{}"],
    ],
)
def test_lines_that_are_no_records_are_still_lines(lines: list[bytes]) -> None:
    assert [(piece.line, piece.body) for piece in split(b"\n".join(lines))] == [
        (number, line.strip()) for number, line in enumerate(lines, 1)
    ]


def test_elements_that_are_no_objects_are_refused_alone() -> None:
    first, second, third = split(b'[{"a": 1}, 5, {"b": 2}]')
    assert (first.error, third.error) == (None, None)
    assert isinstance(second.error, UsageError)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), max_size=20), st.data())
def test_cuts_anywhere_change_nothing(records: list[dict[str, int]], data: st.DataObject) -> None:
    text = b"\n".join(json.dumps(record).encode() for record in records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    pieces = split(*parts)
    assert [json.loads(piece.body) for piece in pieces] == records
    assert not pieces or pieces[-1].end == len(text)
    assert [piece.end for piece in pieces] == sorted(piece.end for piece in pieces)


@pytest.mark.parametrize("format", [Format.AUTO, Format.LINES])
def test_a_line_that_is_too_long_is_let_go_as_it_comes(format: Format) -> None:
    splitter = Splitter(format)
    splitter.feed(b'{"first": 1}\n')
    found = list(splitter)
    for _ in range(3 * ITEM_MAX // (1 << 20)):
        splitter.feed(b"x" * (1 << 20))
        found += list(splitter)
        assert len(splitter._data) <= ITEM_MAX + (1 << 20)
    splitter.feed(b'\n{"third": 1}')
    splitter.end()
    found += list(splitter)
    assert [piece.line for piece in found] == [1, 2, 3]
    assert isinstance(found[1].error, LimitExceeded)
    assert found[2].body == b'{"third": 1}'


def test_a_whole_long_line_is_refused_too() -> None:
    first, second = split(b"x" * (ITEM_MAX + 1) + b"\n{}", format=Format.LINES)
    assert isinstance(first.error, LimitExceeded)
    assert (second.line, second.body) == (2, b"{}")


def test_a_document_above_the_limit_is_lines_unless_that_was_ruled_out() -> None:
    text = b"[\n" + (b'{"a": "' + b"x" * 1000 + b'"},\n') * (ITEM_MAX // 1000)
    assert split(text)[1].body.startswith(b'{"a": "xxx')
    (only,) = split(text, format=Format.JSON)
    assert isinstance(only.error, LimitExceeded)


def test_what_is_said_to_be_a_document_is_one() -> None:
    assert bodies(b'{"a": 1}\n', format=Format.JSON) == [(1, {"a": 1})]
    (only,) = split(b'{"a": 1}\n{"b": 2}', format=Format.JSON)
    assert only.body == b'{"a": 1}\n{"b": 2}'
