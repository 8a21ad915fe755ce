"""What reads a keeper's files: its birth certificate, and the changes of tag beside its spilled output."""

from __future__ import annotations

from holdfast.errors import UsageError
from holdfast.jobs.keeper.certificate import decode, encode
from holdfast.jobs.keeper.segments import run_at, unpack_changes


def check_certificate(data: bytes) -> None:
    """It is refused by a field, without its secret, or it is one that says the same when written again."""
    try:
        certificate = decode(data)
    except UsageError as error:
        assert str(error)
        return
    assert decode(encode(certificate)) == certificate


def check_spill(data: bytes) -> None:
    """Whatever the changes are, each byte of output is in one run, with a tag."""
    size, changes = (data[0] if data else 0), unpack_changes(data[1:])
    place = 0
    while place < size:
        tag, end = run_at(changes, place, size)
        assert place < end <= size
        assert 0 <= tag <= 15
        place = end
