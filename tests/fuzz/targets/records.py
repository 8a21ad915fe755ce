"""What reads records: a stream of batches, the JSON of each, and JSON or JSON lines from a pipe."""

from __future__ import annotations

from holdfast.cli.record.splitter import Format, Piece, Splitter
from holdfast.errors import UsageError
from holdfast.limits import LIMITS
from holdfast.records.canonical import canonical_json, canonicalise
from holdfast.records.wire import BatchDecoder, encode_batch


def check_records(data: bytes) -> None:
    """A stream of records, cut into pieces, is refused or gives batches that say the same again; so do its records."""
    limits = LIMITS._replace(record_batch_bytes_max=2048, record_batch_items_max=64)
    step, decoder = (data[0] + 1 if data else 1), BatchDecoder(None, limits)
    try:
        for start in range(1, len(data), step):
            decoder.feed(data[start : start + step])
            for batch in decoder:
                again = BatchDecoder()
                again.feed(encode_batch(batch.indexes, batch.bodies, batch.statuses))
                (found,) = again
                assert (list(found.indexes), found.bodies) == (list(batch.indexes), batch.bodies)
                for body in batch.bodies:
                    _check_record(body)
            assert decoder.pending_bytes <= 2048 + 4 + step
        decoder.finish()
    except UsageError as error:
        assert error.field == "batch"


def _check_record(text: bytes) -> None:
    """Its canonical form is that of itself, and of its value."""
    try:
        value, canonical = canonicalise(text)
    except UsageError as error:
        assert error.field == "record"
        return
    assert canonicalise(canonical)[1] == canonical
    assert canonical_json(value) == canonical


def check_lines(data: bytes) -> None:
    """However a source is cut, its pieces are the same, in order, and end within it."""
    kind = list(Format)[data[0] % len(Format)] if data else Format.AUTO
    step, source = (data[1] + 1 if len(data) > 1 else 1), data[2:]
    pieces = _pieces(kind, [source])
    assert pieces == _pieces(kind, [source[start : start + step] for start in range(0, len(source), step)])
    ends = [end for _, end, _, _ in pieces]
    assert ends == sorted(ends) and all(end <= len(source) for end in ends)
    assert all(body or error != "None" for _, _, body, error in pieces)


def _pieces(kind: Format, parts: list[bytes]) -> list[tuple[int, int, bytes, str]]:
    splitter, pieces = Splitter(kind), list[Piece]()
    for part in parts:
        splitter.feed(part)
        pieces += splitter
    splitter.end()
    pieces += splitter
    return [(piece.line, piece.end, piece.body, str(piece.error)) for piece in pieces]
