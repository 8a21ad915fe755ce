"""Spill files as a later node finds them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from holdfast.jobs.keeper.segments import Piece, RealFiles, Segment, pack_change, read_segments, run_at, unpack_changes

CHANGES = st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 15)), max_size=20, unique_by=lambda c: c[0])


@given(CHANGES)
def test_changes_are_unpacked_as_packed(changes: list[tuple[int, int]]) -> None:
    changes.sort()
    packed = b"".join(pack_change(place, tag) for place, tag in changes)
    assert unpack_changes(packed) == [place << 4 | tag for place, tag in changes]
    assert unpack_changes(packed + b"torn") == unpack_changes(packed)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_runs_are_what_the_tags_say(tags: list[int], data: st.DataObject) -> None:
    changes = [place << 4 | tag for place, tag in enumerate(tags) if tag != (tags[place - 1] if place else 0)]
    place = data.draw(st.integers(0, len(tags) - 1))
    tag, end = run_at(changes, place, len(tags))
    assert tag == tags[place]
    assert set(tags[place:end]) == {tag}
    assert end == len(tags) or tags[end] != tag


def test_a_directory_that_is_not_there_holds_nothing() -> None:
    assert list(read_segments("/no/such/directory")) == []


def test_pieces_come_in_order_with_holes_left_out(tmp_path: Path) -> None:
    for start, data in ((100, b"later"), (0, b"first")):
        Path(Segment(str(tmp_path), start).path).write_bytes(data)
    (tmp_path / "unrelated").write_text("x")
    assert list(read_segments(str(tmp_path))) == [Piece(0, 0, b"first"), Piece(100, 0, b"later")]


def test_large_runs_are_cut(tmp_path: Path) -> None:
    segment = Segment(str(tmp_path), 10)
    Path(segment.path).write_bytes(b"aaaabbb")
    Path(segment.tags_path).write_bytes(pack_change(4, 1))
    pieces = list(read_segments(str(tmp_path), 3))
    assert pieces == [Piece(10, 0, b"aaa"), Piece(13, 0, b"a"), Piece(14, 1, b"bbb")]


def test_tags_that_do_not_ascend_hide_no_output(tmp_path: Path) -> None:
    """As a power cut leaves them: the file is as long as it was, and its last blocks are zeros."""
    segment = Segment(str(tmp_path), 0)
    Path(segment.path).write_bytes(b"aaaabbbbcccc")
    Path(segment.tags_path).write_bytes(pack_change(4, 1) + pack_change(8, 2) + bytes(16) + pack_change(6, 3))
    assert list(read_segments(str(tmp_path))) == [Piece(0, 0, b"aaaa"), Piece(4, 1, b"bbbb"), Piece(8, 2, b"cccc")]


def test_other_files_are_no_segments(tmp_path: Path) -> None:
    for name in ("notes.seg", "7.seg", "0" * 20 + ".seg.old", "-" + "0" * 19 + ".seg", "٣" * 20 + ".seg"):
        (tmp_path / name).write_bytes(b"x")
    assert list(read_segments(str(tmp_path))) == []


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    RealFiles().remove(str(tmp_path / "gone"))
