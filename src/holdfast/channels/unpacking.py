"""From runs to entries, as a reader does it: whole runs first, then their entries, made in bulk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from struct import Struct
from typing import Any, NamedTuple

from ..errors import ProtocolError
from .packing import (
    DATA,
    DRAFT,
    DRAFT_BYTES,
    DRAFT_REST_BYTES,
    LENGTH,
    LENGTH_BYTES,
    NOTHING,
    RUN,
    RUN_BYTES,
    RUN_CONTIGUOUS,
    RUN_LATE,
    TYPES,
    EntryType,
    Extras,
    decode_extras,
    encode_run,
)


class Entry(NamedTuple):
    """One entry of a channel."""

    index: int  # type: ignore[assignment] # hides tuple.index, which nobody needs here
    """Its place in the channel, dense from 1; never changes."""
    sender: str
    sequence: int
    """The sender's own count."""
    in_reply_to: int
    """The other side's sequence this answers; 0: none."""
    timestamp: float
    """When the node took it, in seconds since the Unix epoch."""
    type: EntryType
    payload: bytes
    error: str = ""
    content_type: str = ""
    headers: Mapping[str, str] = NOTHING
    late: bool = False
    """The sender had appended a higher sequence before."""
    control: Mapping[str, Any] = NOTHING
    """Fields of control messages and receipts."""

    @property
    def text(self) -> str:
        """The payload as UTF-8 text; what is none of it is replaced."""
        return self.payload.decode(errors="replace")

    def json(self) -> Any:
        """The payload as the JSON value it is.  ValueError if it is none."""
        return json.loads(self.payload)


class Run(NamedTuple):
    """A run's header, and where in the data its drafts are."""

    first_index: int
    entries: int
    timestamp: float
    sender: str
    late: tuple[int, ...]
    contiguous: bool
    data: bytes
    start_of_run: int
    start: int
    """Where the first draft begins."""
    end: int
    """Where the run ends."""

    @property
    def next_index(self) -> int:
        """The index after the last entry."""
        return self.first_index + self.entries


_new = tuple.__new__
"""Makes a NamedTuple at half the price of calling its class."""


def split_runs(data: bytes) -> Iterator[Run]:
    """The runs in ``data``, which holds whole ones only.  ProtocolError("malformed") if it does not."""
    position, end = 0, len(data)
    while position < end:
        run = _run_at(data, position)
        yield run
        position = run.end


def _run_at(data: bytes, position: int) -> Run:
    start = position + RUN_BYTES
    if start > len(data):
        raise _malformed("a run's header is cut off")
    length, flags, first_index, count, timestamp, sender_bytes = RUN.unpack_from(data, position)
    end = position + LENGTH_BYTES + length
    drafts = start + sender_bytes
    if end > len(data) or drafts > end or not count:
        raise _malformed("a run's lengths do not fit")
    try:
        sender = str(data[start:drafts], "utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"sender: {error}") from None
    late: tuple[int, ...] = ()
    if flags & RUN_LATE:
        late, drafts = _late_positions(data, drafts, end)
    if count > (end - drafts) // DRAFT_BYTES:
        raise _malformed(f"{count} drafts do not fit into {end - drafts} bytes")
    contiguous = bool(flags & RUN_CONTIGUOUS)
    return _new(Run, (first_index, count, timestamp, sender, late, contiguous, data, position, drafts, end))


def _late_positions(data: bytes, start: int, end: int) -> tuple[tuple[int, ...], int]:
    begin = start + LENGTH_BYTES
    if begin > end:
        raise _malformed("the late positions are cut off")
    count = LENGTH.unpack_from(data, start)[0]
    stop = begin + count * LENGTH_BYTES
    if stop > end:
        raise _malformed("the late positions are longer than their run")
    return Struct(f">{count}I").unpack_from(data, begin), stop


def iter_entries(data: bytes) -> Iterator[Entry]:
    """The entries of all runs in ``data``.  ProtocolError("malformed") if it is not whole runs."""
    for run in split_runs(data):
        yield from entries_of(run)


def parts_of(run: Run, entries_max: int) -> Iterator[Run]:
    """``run`` in parts of at most so many entries, each found when it is asked for.  ProtocolError("malformed")."""
    data, start, index = run.data, run.start, run.first_index
    while index < run.next_index:
        count, end = min(entries_max, run.next_index - index), start
        for _ in range(count):
            if end + LENGTH_BYTES > run.end:
                raise _malformed("a draft is cut off")
            end += LENGTH_BYTES + int(LENGTH.unpack_from(data, end)[0])
        if end > run.end:
            raise _malformed("a draft's header does not fit")
        first = index - run.first_index
        late = tuple(position - first for position in run.late if first <= position < first + count)
        yield run._replace(first_index=index, entries=count, late=late, start=start, end=end)
        start, index = end, index + count


_FEW = 8
"""Entries up to which one by one is cheaper; of a run of one, which is what somebody waits for, by five times."""


def entries_of(run: Run) -> list[Entry]:
    """The entries of one run.  ProtocolError("malformed") if its drafts are not well made."""
    in_bulk = (_plain_entries(run) or _uniform_entries(run)) if run.entries > _FEW else None
    entries = in_bulk or _mixed_entries(run)
    for position in run.late:
        if position >= len(entries):
            raise _malformed("a late position is beyond its run")
        entries[position] = entries[position]._replace(late=True)
    return entries


def _plain_entries(run: Run) -> list[Entry] | None:
    """Data of equal length, numbered without a gap, that answers nothing, at half the price; None if it is not so."""
    data, start, end, count = run.data, run.start, run.end, run.entries
    stride = LENGTH.unpack_from(data, start)[0] + LENGTH_BYTES
    if not run.contiguous or count * stride != end - start or stride < DRAFT_BYTES:
        return None
    head = data[start : start + DRAFT_BYTES]
    if head[_TYPE_AT] != DATA or any(head[place] for place in _ZERO_PLACES):
        return None
    if any(data[start + place : end : stride].count(head[place]) != count for place in _SAME_PLACES):
        return None
    first = DRAFT.unpack(head)[3]
    payloads = Struct(f">{DRAFT_BYTES}x{stride - DRAFT_BYTES}s").iter_unpack(memoryview(data)[start:end])
    columns = zip(
        range(run.first_index, run.next_index),
        repeat(run.sender),
        range(first, first + count),
        repeat(0),
        repeat(run.timestamp),
        repeat(TYPES[DATA]),
        chain.from_iterable(payloads),
        *_NOTHING_MORE,
        strict=False,
    )
    return list(map(_new, repeat(Entry), columns))


_TYPE_AT, _FLAGS_AT, _REPLY_AT = 4, 5, 14
_ZERO_PLACES = (_FLAGS_AT, *range(_REPLY_AT, DRAFT_BYTES))
"""Bytes of a draft's header that say that it has no extras and answers nothing."""
_SAME_PLACES = (*range(LENGTH_BYTES), _TYPE_AT, *_ZERO_PLACES)
"""Bytes that must be the same in all drafts: length, type, flags and reply."""


def _uniform_entries(run: Run) -> list[Entry] | None:
    """Drafts of equal length without extras, by columns: a third of the price.  None if they are not so."""
    stride = LENGTH.unpack_from(run.data, run.start)[0] + LENGTH_BYTES
    if run.entries * stride != run.end - run.start or stride < DRAFT_BYTES:
        return None
    drafts = memoryview(run.data)[run.start : run.end]
    rows = Struct(f">IBBQQ{stride - DRAFT_BYTES}s").iter_unpack(drafts)
    lengths, types, flags, sequences, replies, payloads = zip(*rows, strict=True)
    if lengths.count(stride - LENGTH_BYTES) != run.entries or any(flags) or max(types) >= len(TYPES):
        return None
    names = map(TYPES.__getitem__, types)
    columns = zip(
        range(run.first_index, run.next_index),
        repeat(run.sender),
        sequences,
        replies,
        repeat(run.timestamp),
        names,
        payloads,
        *_NOTHING_MORE,
        strict=False,
    )
    return list(map(_new, repeat(Entry), columns))


_NOTHING_MORE = (repeat(""), repeat(""), repeat(NOTHING), repeat(False), repeat(NOTHING))
"""The last five fields of plain entries."""


def _mixed_entries(run: Run) -> list[Entry]:
    data, start, end, sender, timestamp = run.data, run.start, run.end, run.sender, run.timestamp
    entries: list[Entry] = []
    for index in range(run.first_index, run.next_index):
        if start + DRAFT_BYTES > end:
            raise _malformed("a draft is cut off")
        length, type_, flags, sequence, reply = DRAFT.unpack_from(data, start)
        begin, stop = start + DRAFT_BYTES, start + LENGTH_BYTES + length
        if not begin <= stop <= end or type_ >= len(TYPES):
            raise _malformed("a draft's header does not fit")
        head = (index, sender, sequence, reply, timestamp, TYPES[type_])
        if flags:
            extras, begin = _extras_at(data, begin, stop, flags)
            more = (extras.error, extras.content_type, extras.headers, False, extras.control)
            entries.append(_new(Entry, (*head, data[begin:stop], *more)))
        else:
            entries.append(_new(Entry, (*head, data[begin:stop], "", "", NOTHING, False, NOTHING)))
        start = stop
    if start != end:
        raise _malformed("bytes are left after a run's last draft")
    return entries


def _extras_at(data: bytes, start: int, stop: int, flags: int) -> tuple[Extras, int]:
    try:
        return decode_extras(data, start, stop, flags)
    except ValueError as error:
        raise _malformed(str(error)) from None


class Heads(NamedTuple):
    """A run's drafts without their payloads."""

    starts: tuple[int, ...]
    """Where each draft begins in the run's data, and at last where the run ends."""
    types: tuple[int, ...]
    sequences: tuple[int, ...]


def heads_of(run: Run) -> Heads:
    """What the headers of a run's drafts say.  ProtocolError("malformed") if they are not well made."""
    data, start, end = run.data, run.start, run.end
    starts, types, sequences = [start], [], []
    for _ in range(run.entries):
        if start + DRAFT_BYTES > end:
            raise _malformed("a draft is cut off")
        length, type_, _flags, sequence, _reply = DRAFT.unpack_from(data, start)
        start += LENGTH_BYTES + length
        if length < DRAFT_REST_BYTES or start > end or type_ >= len(TYPES):
            raise _malformed("a draft's header does not fit")
        starts.append(start)
        types.append(type_)
        sequences.append(sequence)
    if start != end:
        raise _malformed("bytes are left after a run's last draft")
    return Heads(tuple(starts), tuple(types), tuple(sequences))


def cut_run(run: Run, first_index: int, next_index: int) -> bytes:
    """The run's entries from ``first_index`` to below ``next_index`` as a run of their own; b"" if there are none."""
    first = max(first_index - run.first_index, 0)
    stop = min(next_index - run.first_index, run.entries)
    if first >= stop:
        return b""
    starts = heads_of(run).starts
    return encode_run(
        run.first_index + first,
        run.sender.encode(),
        run.timestamp,
        bytes(run.data[starts[first] : starts[stop]]),
        stop - first,
        late=[position - first for position in run.late if first <= position < stop],
        contiguous=run.contiguous,
    )


def cut_runs(data: bytes, first_index: int, next_index: int) -> bytes:
    """All entries in ``data`` from ``first_index`` to below ``next_index``, as runs; ``data`` itself if that is all."""
    parts = []
    for run in split_runs(data):
        if first_index <= run.first_index and run.next_index <= next_index:
            parts.append(data[run.start_of_run : run.end])
        else:
            parts.append(cut_run(run, first_index, next_index))
    return b"".join(parts)


def without_sender(data: bytes, sender: str) -> bytes:
    """The runs in ``data`` that are not of ``sender``."""
    return b"".join(data[run.start_of_run : run.end] for run in split_runs(data) if run.sender != sender)


class RunReader:
    """Whole runs out of bytes that come in pieces, as a stream gives them."""

    __slots__ = ("_bytes_max", "_parts", "_size", "_wanted")

    def __init__(self, bytes_max: int = 1 << 27) -> None:
        """``bytes_max`` bounds a run; a longer one is refused before it is gathered."""
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = LENGTH_BYTES

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a run that is not complete yet."""
        return self._size

    def feed(self, data: bytes) -> bytes:
        """All runs that are complete with ``data``, one after another; b"" if none is.

        ProtocolError("malformed") for a run that cannot be.
        """
        self._parts.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return b""
        whole = b"".join(self._parts) if len(self._parts) > 1 else bytes(data)
        position, end = 0, len(whole)
        while end - position >= LENGTH_BYTES:
            length: int = LENGTH.unpack_from(whole, position)[0]
            if not RUN_BYTES - LENGTH_BYTES <= length <= self._bytes_max:
                raise _malformed(f"a run of {length} bytes")
            self._wanted = length + LENGTH_BYTES
            if end - position < self._wanted:
                break
            position += self._wanted
            self._wanted = LENGTH_BYTES
        rest = whole[position:]
        self._parts = [rest] if rest else []
        self._size = len(rest)
        return whole[:position] if rest else whole


def _malformed(why: str) -> ProtocolError:
    return ProtocolError(f"entries: {why}")
