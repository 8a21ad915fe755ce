from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from holdfast.client.records.changes import Changes
from holdfast.errors import DisconnectedError, Gone, ProtocolError
from holdfast.records.model import FeedEntry, FeedPage
from holdfast.rpc.failures import encode_failure
from holdfast.streams import Chunk, End, Failed

ENTRIES = [FeedEntry(position=position, kind="pushed", cid=f"cid-{position}") for position in (5, 6, 7)]
LINES = b"".join(json.dumps(asdict(entry)).encode() + b"\n" for entry in ENTRIES)


def test_lines_cut_anywhere_are_changes() -> None:
    for cut in range(len(LINES)):
        changes = Changes(5)
        first = changes.take_item(Chunk(0, LINES[:cut], 0))
        assert changes.position == 5 + len(first)
        assert first + changes.take_item(Chunk(cut, LINES[cut:], 0)) == ENTRIES
        assert changes.position == 8


def test_a_new_stream_begins_at_a_change() -> None:
    changes = Changes(5)
    changes.take_item(Chunk(0, LINES[:-5], 0))
    changes.begin(FeedPage(next_position=7))
    assert changes.take_item(Chunk(0, LINES[LINES.rindex(b"\n", 0, -1) + 1 :], 0)) == ENTRIES[2:]


def test_where_it_begins() -> None:
    live = Changes(None)
    live.begin(FeedPage(next_position=9))
    assert live.position == 9
    oldest = Changes(0)
    assert oldest.wants_oldest
    oldest.begin_oldest(FeedPage(entries=ENTRIES[:1], next_position=6))
    assert (oldest.position, oldest.wants_oldest) == (5, False)
    empty = Changes(0)
    empty.begin_oldest(FeedPage(next_position=1))
    assert empty.position == 1


def test_a_page_moves_the_cursor() -> None:
    changes = Changes(5)
    assert changes.take_page(FeedPage(entries=ENTRIES, next_position=8)) == ENTRIES
    assert changes.position == 8


def test_what_ends_it() -> None:
    with pytest.raises(Gone):
        Changes(1).take_item(Failed(0, encode_failure(Gone(oldest=4))))
    with pytest.raises(DisconnectedError):
        Changes(1).take_item(End(0))
    for line in (b"nonsense\n", b"5\n", b'{"kind": "pushed"}\n'):
        with pytest.raises(ProtocolError):
            Changes(1).take_item(Chunk(0, line, 0))
