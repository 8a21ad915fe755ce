from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.cli.record.input import Arguments, Files, Item, Place, Source, argument_item, cid_item, record_item
from holdfast.cli.record.splitter import Format, Piece
from holdfast.errors import NotFound, UsageError


def drained(source: Source) -> list[Item]:
    found = []
    while not source.ended:
        item = source.next_item()
        if item is not None:
            found.append(item)
        elif not source.ended:
            source.fill()
    source.close()
    return found


def test_files_follow_each_other_and_places_name_them(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b'{"a": 1}\n{"b": 2}\n')
    two.write_bytes(b'{\n"c": 3\n}')
    source = Files((str(one), str(two)), Format.AUTO, record_item)
    assert source.size_bytes == 18 + 10
    assert source.descriptor == -1
    places = [item.place for item in drained(source)]
    assert [str(place) for place in places] == [f"{one}:1", f"{one}:2", f"{two}:1"]
    assert [place.end for place in places] == [9, 18, 28]


def test_standard_input_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        source = Files(("-",), Format.LINES, record_item)
        assert source.size_bytes == 0
        assert source.descriptor >= 0
        os.write(writing, b"{}\n")
        assert source.next_item() is None
        source.fill()
        assert source.next_item() == Item(Place("<stdin>", 1, 3), b"{}")
        os.close(writing)
        assert drained(source) == []


@pytest.mark.parametrize("name", ["missing", "."])
def test_names_that_are_wrong_are_told_at_once(tmp_path: Path, name: str) -> None:
    good = tmp_path / "good"
    good.write_bytes(b"{}")
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(UsageError, match=r"No such file|is a directory"):
        Files((str(good), str(tmp_path / name)), Format.AUTO, record_item)
    assert len(os.listdir("/dev/fd")) == before


def test_arguments_have_no_lines() -> None:
    (item,) = drained(Arguments(iter([argument_item("abc", str)])))
    assert (str(item.place), item.value) == ("abc", "abc")


def test_a_name_that_is_not_found_fails_by_itself() -> None:
    def resolve(name: str) -> str:
        raise NotFound(kind="tag", name=name)

    (item,) = drained(Arguments(iter([argument_item("model", resolve)])))
    assert (str(item.place), item.value) == ("model", "")
    assert isinstance(item.error, NotFound)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"abc", "abc"),
        (b'{"cid": "abc", "line": 3}', "abc"),
        (b'{"line": 3}', None),
        (b"{broken", None),
        (b'{"a":' * 100_000, None),
    ],
)
def test_a_cid_is_a_line_or_in_one(body: bytes, value: str | None) -> None:
    item = cid_item(Place("f", 1, 0), Piece(1, 0, body))
    if value is None:
        assert isinstance(item.error, UsageError)
    else:
        assert item.value == value
