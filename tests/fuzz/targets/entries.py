"""What reads the entries of channels: batches that clients send, runs as they are stored and read."""

from __future__ import annotations

from holdfast.channels.packing import check_batch, encode_run
from holdfast.channels.unpacking import RunReader, cut_runs, iter_entries
from holdfast.errors import ProtocolError, UsageError


def check_batches(data: bytes) -> None:
    """A batch is refused by the place of its draft, or its entries are just its drafts."""
    try:
        batch = check_batch(data)
    except UsageError as error:
        assert error.field.startswith("batch")
        return
    run = encode_run(1, b"me", 0.0, batch.data, batch.entries)
    entries = list(iter_entries(run))
    assert [entry.sequence for entry in entries] == list(batch.sequences)
    assert b"".join(map(batch.draft, range(batch.entries))) == data
    for index in range(1, min(batch.entries, 4) + 1):
        assert list(iter_entries(cut_runs(run, index, index + 1))) == entries[index - 1 : index]


def check_runs(data: bytes) -> None:
    """Runs are refused, or their indexes count on within each; in pieces they are the same."""
    step = data[0] + 1 if data else 1
    reader, parts = RunReader(1 << 16), []
    try:
        for start in range(1, len(data), step):
            parts.append(reader.feed(data[start : start + step]))
            assert reader.buffered_bytes <= (1 << 16) + 4
        whole = b"".join(parts)
        entries = list(iter_entries(whole))
    except ProtocolError as error:
        assert error.reason == "malformed"
        return
    assert data[1:].startswith(whole)
    assert all(entry.index >= 0 and isinstance(entry.payload, bytes) for entry in entries)
