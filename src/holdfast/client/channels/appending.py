"""Appending so that every entry is there once: numbers, parcels, and what to make of a node's answer.

A parcel keeps its sequences when it is sent again after a cut, so a node that has it already says so.  Two writers
that share a name can come to use the same sequence: whoever is second sees that, and sends under another number.
Pure; shared by both clients.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from ...channels.model import AppendResult
from ...channels.packing import DRAFT_BYTES, Extras, check_batch, encode_batch, renumbered
from ...errors import HoldfastError, LimitExceeded, SequenceConflict, from_wire
from .drafts import Draft, Payload, bytes_of

PATIENCE_S = 60.0
"""How long an append waits by default while the channel's rate limit is hit."""
PARCEL_BYTES = 256 * 1024
"""Size at which a parcel is full: a commit of its own is worth it, and several on their way fit the queues."""
PARCELS_IN_FLIGHT = 8
"""Parcels of one call under way at once: the next is being read while the one before is being synced."""
_HEAD_BYTES = DRAFT_BYTES + 42
"""What an entry of a batch may take besides its payload."""
_JUMP = 1 << 32
"""Width of the range from which a writer that was met twice draws its next number."""


class Appended(NamedTuple):
    """Where one entry went."""

    index: int  # type: ignore[assignment] # hides tuple.index, which nobody needs here
    sequence: int
    """Under which the other side can answer it."""


class Refused(NamedTuple):
    """An entry of a batch that was not appended."""

    position: int
    """Its place in the batch, from 0."""
    error: HoldfastError


class BatchAppended(NamedTuple):
    """What became of a batch."""

    appended: int
    """How many of its entries are in the channel."""
    first_index: int
    """0: none is.  Other senders' entries may lie between the first and the last."""
    last_index: int
    refused: tuple[Refused, ...] = ()


class Numbers:
    """The sequences of one sender in one channel, as far as this client knows them."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        self.next = 0
        """The sequence of the next entry; 0: not known yet."""

    def learn(self, last_sequence: int) -> None:
        """``last_sequence`` has been used."""
        self.next = max(self.next, last_sequence + 1)

    def take(self, count: int) -> int:
        """The first of ``count`` sequences nobody here has used."""
        assert self.next, "the sender's last sequence is learnt first"
        first = self.next
        self.next += count
        return first

    def jump(self, fraction: float) -> None:
        """Leave the numbers that another writer of the same name uses too; ``fraction`` is random, below 1."""
        self.next += int(fraction * _JUMP)


class Parcel:
    """Entries that travel together, with their sequences."""

    __slots__ = ("data", "explicit", "met", "positions", "resent", "sequences")

    def __init__(
        self, data: bytes, positions: Sequence[int], sequences: Sequence[int], *, explicit: bool = False, met: int = 0
    ) -> None:
        self.data = data
        self.positions = positions
        """Their places in what the caller gave."""
        self.sequences = sequences
        self.explicit = explicit
        """The caller chose the sequence, and wants an entry that has it already."""
        self.resent = False
        """An answer was lost: the node may have it already."""
        self.met = met
        """How often another writer had the numbers first."""

    def renumbered(self, places: Sequence[int], numbers: Numbers) -> Parcel:
        """The entries at ``places`` of this parcel once more, under numbers of their own."""
        batch = check_batch(self.data)
        drafts = check_batch(b"".join(map(batch.draft, places)))
        first = numbers.take(len(places))
        sequences = range(first, first + len(places))
        data = renumbered(drafts, sequences).data
        return Parcel(data, [self.positions[place] for place in places], sequences, met=self.met + 1)


class Settled(NamedTuple):
    """What a node's answer says of a parcel."""

    appended: int = 0
    first_index: int = 0
    last_index: int = 0
    first_sequence: int = 0
    contested: tuple[int, ...] = ()
    """Places in the parcel of entries whose number somebody else used: to be sent again under another."""
    refused: tuple[Refused, ...] = ()


def settle(parcel: Parcel, result: AppendResult) -> Settled:
    """Read the node's answer."""
    count = len(parcel.sequences)
    if not result.others:
        return Settled(count, result.first_index, result.last_index, parcel.sequences[0])
    indexes = [index for index in (result.first_index, result.last_index) if index]
    contested, refused = [], []
    for outcome in result.others:
        error = None if outcome.error is None else from_wire(outcome.error)
        if error is None and (parcel.resent or parcel.explicit):
            indexes.append(outcome.index)
        elif error is None or (isinstance(error, SequenceConflict) and not parcel.explicit):
            contested.append(outcome.position)
        else:
            refused.append(Refused(parcel.positions[outcome.position], error))
    appended = count - len(contested) - len(refused)
    first, last = min(indexes, default=0), max(indexes, default=0)
    return Settled(appended, first, last, parcel.sequences[0], tuple(contested), tuple(refused))


def contested_whole(parcel: Parcel) -> Settled:
    """As :func:`settle`, for a parcel of one entry that was answered with SequenceConflict."""
    return Settled(contested=tuple(range(len(parcel.sequences))))


def refused_whole(parcel: Parcel, error: LimitExceeded) -> Settled:
    """As :func:`settle`, for a parcel of one entry that was answered with MessageTooLarge or ChannelFull."""
    return Settled(refused=(Refused(parcel.positions[0], error),))


def sum_up(settled: Sequence[Settled]) -> BatchAppended:
    """The whole batch from what became of its parcels."""
    indexes = [index for one in settled for index in (one.first_index, one.last_index) if index]
    refused = sorted((each for one in settled for each in one.refused), key=_position_of)
    appended = sum(one.appended for one in settled)
    return BatchAppended(appended, min(indexes, default=0), max(indexes, default=0), tuple(refused))


def _position_of(refused: Refused) -> int:
    return refused.position


def one_parcel(draft: Draft, sequence: int, *, explicit: bool) -> Parcel:
    """A parcel of one entry of any type."""
    return Parcel(draft.encode(sequence), (0,), (sequence,), explicit=explicit)


def make_parcels(payloads: Sequence[Payload], numbers: Numbers) -> Iterator[Parcel]:
    """Parcels of data, in order; each takes its numbers when it is made.  UsageError for what cannot be sent."""
    data, types = _as_bytes(payloads)
    for start, stop in cuts(data):
        first = numbers.take(stop - start)
        if types is None:
            body = encode_batch(data[start:stop], first_sequence=first)
        else:
            drafts = map(_typed, data[start:stop], types[start:stop])
            body = b"".join(draft.encode(first + place) for place, draft in enumerate(drafts))
        yield Parcel(body, range(start, stop), range(first, first + stop - start))


def _as_bytes(payloads: Sequence[Payload]) -> tuple[Sequence[bytes], Sequence[str] | None]:
    """The payloads as bytes, and the content type of each; None if none has any."""
    kinds = set(map(type, payloads))
    if kinds <= {bytes}:
        return payloads, None
    if kinds == {str}:
        return [text.encode() for text in payloads], None
    pairs = [bytes_of(payload) for payload in payloads]
    types = [content_type for _, content_type in pairs]
    return [data for data, _ in pairs], types if any(types) else None


def _typed(data: bytes, content_type: str) -> Draft:
    return Draft(data, extras=Extras(content_type)) if content_type else Draft(data)


def cuts(payloads: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where to cut ``payloads`` so that each part is about PARCEL_BYTES long, and none too long for a call."""
    ends = list(accumulate(map(len, payloads)))
    start, sent = 0, 0
    while start < len(ends):
        stop = max(start + 1, _stop_at(ends, start, sent))
        yield start, stop
        sent = ends[stop - 1]
        start = stop


def _stop_at(ends: Sequence[int], start: int, sent: int) -> int:
    """How far a part that begins at ``start`` goes, by its payloads alone and then by what each entry adds."""
    stop = bisect_right(ends, sent + PARCEL_BYTES, start)
    return min(stop, start + PARCEL_BYTES // _HEAD_BYTES)
