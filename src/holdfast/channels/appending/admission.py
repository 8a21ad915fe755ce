"""What becomes of a batch: one decision, made and applied at once, that gives the bytes to store.

The whole batch goes at once where everything about it is plain; else each draft is looked at by itself.
"""

from __future__ import annotations

from itertools import islice
from operator import lt, sub
from typing import TYPE_CHECKING, NamedTuple

from ...errors import ChannelFull, HoldfastError, MessageTooLarge, SequenceConflict, UsageError
from ..model import NODE_SENDER
from ..packing import (
    ANSWER,
    DATA,
    DRAFT_BYTES,
    FIRST_CONTROL,
    NEEDS_INPUT,
    RECEIPT,
    RECEIPTED,
    SEQUENCE_MAX,
    Batch,
    decode_extras,
    encode_run,
    renumbered,
)
from .control import Questions, check_receipt, encode_receipts

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from typing import Any

    from ..state.channel import Bounds, Channel
    from ..state.record import ChannelRecord
    from ..state.senders import Senders


class Admission(NamedTuple):
    """What is to be done for a batch."""

    blob: bytes
    """Runs to append; b"": nothing is."""
    entries: int
    """How many entries they hold, receipts included."""
    first_index: int
    last_index: int
    """Of the batch's own entries."""
    repeats: Sequence[tuple[int, int]] = ()
    """Position and index of drafts whose sequence is there already: to be compared."""
    refused: Sequence[tuple[int, HoldfastError]] = ()
    """Position of drafts that are not appended, and why."""
    record: ChannelRecord | None = None
    """What to store with them, if it changed."""


def admit(
    channel: Channel, bounds: Bounds, sender: str, batch: Batch, now: float, *, whole: Container[int] | None = None
) -> Admission:
    """Decide on ``batch`` and take note of it in ``channel``, whose senders are loaded.

    The caller appends the result's blob before anything else is decided, or forgets the channel's senders.
    ``now`` is in seconds since the Unix epoch.  ``whole``: all of it is taken or nothing, and nothing is taken note of
    if a draft is refused, or repeats an entry and its position is not in ``whole``.  Raises nothing.
    """
    senders = channel.senders
    assert senders is not None, "senders are loaded before"
    if batch.plain and _payloads_fit(batch, bounds.payload_bytes_max) and _has_room(channel, bounds, batch.entries):
        at_once = _admit_at_once(channel, senders, sender, batch, now)
        if at_once is not None:
            return at_once
    sorting = _Sorting(channel, bounds, senders, sender, batch, now)
    for position in range(batch.entries):
        sorting.look_at(position)
    return sorting.settle() if whole is None else sorting.settle_whole(whole)


def _payloads_fit(batch: Batch, bytes_max: int) -> bool:
    starts = batch.starts
    longest = starts.step if isinstance(starts, range) else max(map(sub, islice(starts, 1, None), starts))
    return longest - DRAFT_BYTES <= bytes_max


def _has_room(channel: Channel, bounds: Bounds, count: int) -> bool:
    return channel.record.retain or channel.entries + count <= bounds.entries_max


def _admit_at_once(channel: Channel, senders: Senders, sender: str, batch: Batch, now: float) -> Admission | None:
    """A batch all of whose sequences are new and rising, or left to the node; None if it is not."""
    book = senders.book(sender)
    sequences, count = batch.sequences, batch.entries
    first, last = sequences[0], sequences[-1]
    if first == 0 and sequences.count(0) == count:
        if book.last_sequence + count > SEQUENCE_MAX:
            return None
        first, last = book.last_sequence + 1, book.last_sequence + count
        sequences = range(first, last + 1)
        batch = renumbered(batch, sequences)
    elif first <= book.last_sequence or not (count == 1 or all(map(lt, sequences, islice(sequences, 1, None)))):
        return None
    contiguous = last - first == count - 1
    index = channel.next_index
    book.add_all(sequences, index, contiguous=contiguous)
    book.ended = 0
    channel.next_index = index + count
    blob = encode_run(index, sender.encode(), now, batch.data, count, contiguous=contiguous)
    return Admission(blob, count, index, index + count - 1)


class _Sorting:
    """A batch that is looked at draft by draft."""

    def __init__(
        self, channel: Channel, bounds: Bounds, senders: Senders, sender: str, batch: Batch, now: float
    ) -> None:
        self._channel = channel
        self._bounds = bounds
        self._senders = senders
        self._sender = sender
        self._book = senders.book(sender)
        self._batch = batch
        self._now = now
        self._last = self._book.last_sequence
        self._room = bounds.entries_max - channel.entries
        self._questions = Questions(channel.record.questions, bounds)
        self._taken: list[int] = []
        self._sequences: list[int] = []
        self._place: dict[int, int] = {}
        self._late: list[int] = []
        self._receipted: list[tuple[int, int]] = []
        self._repeats: list[tuple[int, int]] = []
        self._refused: list[tuple[int, HoldfastError]] = []

    def look_at(self, position: int) -> None:
        """Take, recognise or refuse the draft at ``position``; they are looked at in order."""
        sequence = self._batch.sequences[position]
        try:
            if sequence and self._is_repeat(position, sequence):
                return
            if not sequence:
                sequence = self._last + 1
                if sequence > SEQUENCE_MAX:
                    raise UsageError(f"sequence: there is none after {SEQUENCE_MAX}", field="sequence")
            self._check(position, sequence)
        except HoldfastError as error:
            self._refused.append((position, error))
            return
        if sequence < self._last:
            self._late.append(len(self._taken))
        self._last = max(self._last, sequence)
        self._place[sequence] = len(self._taken)
        self._taken.append(position)
        self._sequences.append(sequence)

    def _is_repeat(self, position: int, sequence: int) -> bool:
        """Whether the sequence was used before; SequenceConflict if it was, in this batch, for something else."""
        place = self._place.get(sequence)
        if place is not None:
            index = self._channel.next_index + place
            if self._batch.draft(self._taken[place]) != self._batch.draft(position):
                raise conflict(self._sender, sequence, index)
        else:
            index = self._book.index_of(sequence)
            if not index:
                return False
        self._repeats.append((position, index))
        return True

    def _check(self, position: int, sequence: int) -> None:
        size, type_ = self._batch.bytes_of(position), self._batch.types[position]
        if size > self._bounds.payload_bytes_max:
            raise MessageTooLarge(name="channel_payload_bytes_max", limit=self._bounds.payload_bytes_max, value=size)
        self._check_room(type_)
        if type_ >= FIRST_CONTROL:
            self._take_control(position, sequence, type_)

    def _check_room(self, type_: int) -> None:
        if self._channel.record.retain:
            return
        new = len(self._taken) + len(self._receipted) + 1 + (type_ in RECEIPTED)
        room = self._room + (self._bounds.reserve_max if type_ != DATA else 0)
        if new > room:
            limit = self._bounds.entries_max
            raise ChannelFull(name="channel_entries_max", limit=limit, value=self._channel.entries + new)

    def _take_control(self, position: int, sequence: int, type_: int) -> None:
        index = self._channel.next_index + len(self._taken)
        control = self._control_of(position)
        if type_ == NEEDS_INPUT:
            self._questions.ask(index, sequence, self._sender, control, self._now)
        elif type_ == ANSWER:
            self._questions.answer(self._sender, self._batch.replies[position], control)
        elif type_ == RECEIPT:
            check_receipt(control, index, self._asks)
        if type_ in RECEIPTED:
            self._receipted.append((index, sequence))

    def _asks(self, index: int) -> bool:
        """Whether the entry at ``index`` is a control message; of one that is not kept any more that is believed."""
        place = index - self._channel.next_index
        if place >= 0:
            return self._batch.types[self._taken[place]] in RECEIPTED
        return index < self._channel.oldest or index in self._senders.controls

    def _control_of(self, position: int) -> Mapping[str, Any]:
        data, start, stop = self._batch.data, self._batch.starts[position], self._batch.starts[position + 1]
        return decode_extras(data, start + DRAFT_BYTES, stop, data[start + 5])[0].control

    def settle_whole(self, compared: Container[int]) -> Admission:
        """:meth:`settle`, unless a draft keeps the others out: it was refused, or has to be compared first."""
        edge = self._channel.next_index  # what repeats another draft of the batch was compared with it already
        unsure = [(place, index) for place, index in self._repeats if index < edge and place not in compared]
        if self._refused or unsure:
            return Admission(b"", 0, 0, 0, unsure, self._refused)
        return self.settle()

    def settle(self) -> Admission:
        """Take note of all that was taken; the bytes to append."""
        count = len(self._taken)
        if not count:
            return Admission(b"", 0, 0, 0, self._repeats, self._refused)
        index = self._channel.next_index
        blob = self._own_run(index, count) + self._receipts(index + count)
        for asking, _ in self._receipted:
            self._senders.controls.add(asking)
        entries = count + len(self._receipted)
        self._channel.next_index = index + entries
        record = None
        if self._questions.changed:
            record = self._channel.record = self._channel.record.changed(questions=self._questions.all())
        return Admission(blob, entries, index, index + count - 1, self._repeats, self._refused, record)

    def _own_run(self, index: int, count: int) -> bytes:
        batch, taken, sequences = self._batch, self._taken, self._sequences
        types = [batch.types[position] for position in taken]
        if any(batch.sequences[position] == 0 for position in taken):
            given = dict(zip(taken, sequences, strict=True))
            batch = renumbered(batch, list(map(given.get, range(batch.entries), batch.sequences)))
        drafts = batch.data if count == batch.entries else b"".join(map(batch.draft, taken))
        contiguous = not self._late and sequences[-1] - sequences[0] == count - 1
        self._book.add_all(sequences, index, contiguous=contiguous)
        self._book.note_types(types)
        sender = self._sender.encode()
        return encode_run(index, sender, self._now, drafts, count, late=self._late, contiguous=contiguous)

    def _receipts(self, index: int) -> bytes:
        if not self._receipted:
            return b""
        book = self._senders.book(NODE_SENDER)
        sequence = book.last_sequence + 1
        book.add(sequence, index, len(self._receipted))
        return encode_receipts(self._receipted, index, sequence, self._now)


def conflict(sender: str, sequence: int, index: int) -> SequenceConflict:
    """The sender has used the sequence before, for another entry."""
    return SequenceConflict(
        f"{sender} has used the sequence {sequence} for another entry, at index {index}", sequence, index
    )
