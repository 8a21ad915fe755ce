"""Causal histories: what was read before, and what looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ProtocolError
from holdfast.sync.model import Dialect, HistoryEntry, Message
from holdfast.sync.wire import Wire, causal
from holdfast.sync.wire.entries import entry_bytes
from holdfast.sync.wire.protobuf import bytes_field, text_field

DIALECTS: tuple[Dialect, ...] = ("spec", "nim")

ids = st.text(min_size=1, max_size=30)

entries = st.builds(HistoryEntry, ids, st.binary(max_size=20), st.text(max_size=10))


def test_older_nim_senders_put_bare_ids_into_the_causal_history() -> None:
    wire = Wire("nim")
    data = wire.encode(Message("m", "c", 1, b"x")) + text_field(3, "msg-1") + text_field(3, "another")
    assert wire.decode(data).message.causal == (HistoryEntry("msg-1"), HistoryEntry("another"))
    with pytest.raises(ProtocolError):
        wire.decode(wire.encode(Message("m", "c", 1, b"x")) + bytes_field(3, b"\xff\xfe"))


def test_the_cache_of_entries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "_CACHED_ENTRIES_MAX", 10)
    wire = Wire("spec")
    for number in range(100):
        entry = HistoryEntry(f"m{number}", bytes(300) if number % 2 else b"")
        message = Message("m", "c", 1, b"x", causal=(entry,))
        assert wire.decode(wire.encode(message)).message == message
        assert len(wire._causal.known) <= 10


@given(st.data())
@pytest.mark.parametrize("dialect", DIALECTS)
def test_causal_histories_that_overlap_are_read_as_any_other(dialect: Dialect, data: st.DataObject) -> None:
    """What was read before shortens the reading, and never changes what is read."""
    known = [HistoryEntry(f"m{number}", b"h" * (number % 3), "s" * (number % 5)) for number in range(60)]
    wire = Wire(dialect)
    for _ in range(data.draw(st.integers(2, 6))):
        start = data.draw(st.integers(0, 40))
        several = known[start : start + data.draw(st.integers(0, 40))]
        if data.draw(st.booleans()):
            several = [*several, data.draw(entries), *known[: data.draw(st.integers(0, 5))]]
        message = Message("m", "c", 1, b"x", "s", tuple(several))
        assert wire.decode(wire.encode(message)).message == message
        assert Wire(dialect).decode(wire.encode(message)).message == message


def test_an_entry_that_looks_like_the_beginning_of_another() -> None:
    wire = Wire("spec")
    inner = wire.reference(HistoryEntry("inner"))
    around = [HistoryEntry("around", inner), *[HistoryEntry(f"m{number}") for number in range(20)]]
    for several in (around, [HistoryEntry("inner"), *around[1:]], around[3:], around):
        message = Message("m", "c", 1, b"x", "s", tuple(several))
        assert wire.decode(wire.encode(message)).message == message


def test_keys_in_more_bytes_than_they_need_do_not_hang() -> None:
    data = Wire("spec").encode(Message("m", "c", 1, b"x")) + b"\xda\x00\x04" + entry_bytes(HistoryEntry("h2"))
    with pytest.raises(ProtocolError, match="more bytes than it needs"):
        Wire("spec").decode(data)
