"""A history entry by itself."""

from __future__ import annotations

from holdfast.sync.model import HistoryEntry
from holdfast.sync.wire.entries import entry_bytes, read_entry


def test_a_history_entry_by_itself() -> None:
    data = b"\x0a\x02h1\x12\x04hint\x1a\x03bob"
    assert entry_bytes(HistoryEntry("h1", b"hint", "bob")) == data
    assert read_entry(data) == HistoryEntry("h1", b"hint", "bob")
