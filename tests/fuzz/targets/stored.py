"""What reads rows of the embedded engine, and the messages that the other one keeps on NATS."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.engine.base import Run
from holdfast.engine.joining import join_blobs, split_blobs
from holdfast.engine.nats import wire
from holdfast.engine.packing import MIXED, SEVERAL, blobs_of, pack_pieces, unpack_pieces, unpack_runs
from holdfast.errors import CorruptionError

WHERE = "here"


def check_rows(data: bytes) -> None:
    """The first byte chooses the form: what is read is written as the same row, or it is a ValueError."""
    form, row = data[0] % (SEVERAL + 1) if data else 0, data[1:]
    try:
        if form == SEVERAL:
            blobs, counts = split_blobs(row)
            assert join_blobs(blobs, counts) == row
            assert blobs_of(sum(counts), form, row) == (blobs, counts)
            return
        payloads, tags = unpack_pieces(row, mixed=form == MIXED)
        assert pack_pieces(payloads, tags) == row
        assert len(tags) == (len(payloads) if form == MIXED else 0)
        runs = unpack_runs(7, form, row)
        whole = b"".join(payloads) if form == MIXED else row
        assert b"".join(run.data for run in runs if isinstance(run, Run)) == whole
    except ValueError:
        return


def check_nats(data: bytes) -> None:
    """Whatever a message of the deployment's is, it is what we write, or a CorruptionError that names it."""
    text = data.decode("latin-1")
    for read in (_stamp, _key, _identity, _whole, _changed):
        _refused_or_read(read, data, text)


def _refused_or_read(read: Callable[[bytes, str], None], data: bytes, text: str) -> None:
    try:
        read(data, text)
    except CorruptionError as error:
        assert error.where == WHERE


def _stamp(data: bytes, text: str) -> None:
    stamp, state = wire.decode_stamp(text, WHERE)
    assert wire.decode_stamp(wire.encode_stamp(stamp, state), WHERE) == (stamp, state)
    wire.split_data(stamp, data, WHERE)


def _key(data: bytes, _: str) -> None:
    stamp, key, value = wire.decode_key(data, WHERE)
    assert wire.encode_key(stamp, key, value) == data


def _identity(data: bytes, text: str) -> None:
    identity = wire.decode_identity(None, data, WHERE)
    assert wire.decode_identity(wire.encode_identity(identity), b"", WHERE) == identity
    wire.decode_identity(text, data, WHERE)


def _whole(data: bytes, _: str) -> None:
    whole = wire.decode_whole(data, WHERE)
    assert wire.decode_whole(wire.encode_whole(whole), WHERE) == whole


def _changed(data: bytes, _: str) -> None:
    changed = wire.decode_changed(data, WHERE)
    assert wire.decode_changed(wire.encode_changed(changed), WHERE) == changed
    wire.split_data(wire.Stamp(wire.IN_DATA, 0, 0, 0, 0, 0, 0, 0, 0), data, WHERE)
