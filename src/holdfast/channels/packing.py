"""The packed form of entries: one binary form from the sender to the disk to every subscriber.

A *draft* is one entry as its sender makes it, a *batch* is drafts one after another, a *run* is what the node made of
a batch: a header with what only the node knows, then the batch's bytes, unchanged.  Whatever is stored, read or
followed is runs one after another.  Big endian throughout::

    draft   u32 length of the rest | u8 type | u8 flags | u64 sequence | u64 in_reply_to | extras | payload
    extras  for each flag that is set, lowest first: u32 length | UTF-8
            1 content type   2 headers, a JSON object of strings   4 error text   8 control fields, a JSON object
    run     u32 length of the rest | u8 flags | u64 first index | u32 count | f64 timestamp | u16 length | sender
            | if flag 1 (late): u32 count | u32 position from 0, each | drafts
            flag 2: the sequences follow each other without a gap

Pure, and light to import: short commands make batches too.  Decoding is in ``unpacking``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from struct import Struct
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from ..errors import UsageError

EntryType = Literal[
    "data", "end", "error", "cancel", "steer", "pause", "resume", "needs_input", "answer", "receipt"
]  # fmt: skip
"""What an entry is; its number on the wire is its place here."""

TYPES: tuple[EntryType, ...] = (
    "data", "end", "error", "cancel", "steer", "pause", "resume", "needs_input", "answer", "receipt",
)  # fmt: skip
TYPE_NUMBERS: Mapping[str, int] = {name: number for number, name in enumerate(TYPES)}
DATA, END, ERROR, CANCEL, STEER, PAUSE, RESUME, NEEDS_INPUT, ANSWER, RECEIPT = range(10)
FIRST_CONTROL = CANCEL
"""This and all types above are control messages, or about them."""
RECEIPTED = frozenset({CANCEL, STEER, PAUSE, RESUME, NEEDS_INPUT, ANSWER})
"""Control messages: the node notes its acceptance beside each, in the same commit; the executor what became of it."""

DRAFT = Struct(">IBBQQ")
DRAFT_BYTES = DRAFT.size
LENGTH_BYTES = 4
DRAFT_REST_BYTES = DRAFT_BYTES - LENGTH_BYTES
"""Length of a draft without extras and payload."""
RUN = Struct(">IBQIdH")
RUN_BYTES = RUN.size
LENGTH = Struct(">I")
_SEQUENCE, _SEQUENCE_AT = Struct(">Q"), 6

HAS_CONTENT_TYPE, HAS_HEADERS, HAS_ERROR, HAS_CONTROL = 1, 2, 4, 8
ALL_EXTRAS = 15
RUN_LATE, RUN_CONTIGUOUS = 1, 2

_USUAL_TYPES = ("", "application/json", "text/plain")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""What the two parts of a media type are made of (RFC 9110)."""

SEQUENCE_MAX = (1 << 53) - 1
"""Largest sequence: every JSON reader gets it exactly."""


NOTHING: Mapping[str, Any] = MappingProxyType({})
"""No fields."""


class Extras(NamedTuple):
    """What a draft carries besides its payload; empty values travel as nothing."""

    content_type: str = ""
    headers: Mapping[str, str] = NOTHING
    error: str = ""
    control: Mapping[str, Any] = NOTHING


NO_EXTRAS = Extras()


class Batch(NamedTuple):
    """A checked batch, and what its drafts' headers say."""

    data: bytes
    starts: Sequence[int]
    """Where each draft begins, and at last where the batch ends."""
    types: Sequence[int]
    sequences: Sequence[int]
    replies: Sequence[int]
    plain: bool
    """Every draft is data without extras."""

    @property
    def entries(self) -> int:
        """How many drafts there are."""
        return len(self.sequences)

    def draft(self, position: int) -> bytes:
        """The bytes of one draft."""
        return self.data[self.starts[position] : self.starts[position + 1]]

    def bytes_of(self, position: int) -> int:
        """Payload and extras of one draft, in bytes."""
        return self.starts[position + 1] - self.starts[position] - DRAFT_BYTES


# making


def encode_draft(
    payload: bytes = b"",
    *,
    type: EntryType = "data",
    sequence: int = 0,
    in_reply_to: int = 0,
    extras: Extras = NO_EXTRAS,
) -> bytes:
    """One draft.  ``sequence`` 0: the node gives the sender's next one.

    UsageError for a type there is not, and for numbers out of range.
    """
    number = TYPE_NUMBERS.get(type)
    if number is None:
        raise UsageError(f"type: {type!r} is none of {', '.join(TYPES)}", field="type")
    check_sequence(sequence, "sequence")
    check_sequence(in_reply_to, "in_reply_to")
    flags, packed = (0, b"") if extras is NO_EXTRAS else _encode_extras(extras)
    length = DRAFT_REST_BYTES + len(packed) + len(payload)
    return b"".join((DRAFT.pack(length, number, flags, sequence, in_reply_to), packed, payload))


def encode_batch(payloads: Sequence[bytes], *, first_sequence: int = 0) -> bytes:
    """A batch of data without extras, with sequences from ``first_sequence`` on; 0: the node gives them.

    Several times faster than :func:`encode_draft` for each.
    """
    check_sequence(first_sequence, "first_sequence")
    check_sequence(first_sequence + len(payloads), "first_sequence")
    sequences: Iterable[int] = range(first_sequence, first_sequence + len(payloads)) if first_sequence else repeat(0)
    lengths = map(DRAFT_REST_BYTES.__add__, map(len, payloads))
    heads = map(DRAFT.pack, lengths, repeat(DATA), repeat(0), sequences, repeat(0))
    return b"".join(chain.from_iterable(zip(heads, payloads, strict=False)))


def check_sequence(value: int, field: str) -> int:
    """``value`` itself; UsageError naming ``field`` if it is negative or too large."""
    if not 0 <= value <= SEQUENCE_MAX:
        raise UsageError(f"{field}: {value} is not within 0 and {SEQUENCE_MAX}", field=field)
    return value


def _encode_extras(extras: Extras) -> tuple[int, bytes]:
    check_content_type(extras.content_type)
    flags = 0
    parts: list[bytes] = []
    for flag, text in (
        (HAS_CONTENT_TYPE, extras.content_type),
        (HAS_HEADERS, _json(extras.headers)),
        (HAS_ERROR, extras.error),
        (HAS_CONTROL, _json(extras.control)),
    ):
        if text:
            flags |= flag
            encoded = text.encode()
            parts += (LENGTH.pack(len(encoded)), encoded)
    return flags, b"".join(parts)


def check_content_type(text: str) -> None:
    """UsageError unless it is empty, or ``type/subtype``, with parameters or without."""
    if text in _USUAL_TYPES:
        return
    kind, _, rest = text.partition("/") if isinstance(text, str) else ("", "", "")
    subtype = rest.partition(";")[0].rstrip(" \t")
    if not (kind and subtype and _TOKEN.issuperset(kind + subtype) and rest.isascii() and rest.isprintable()):
        raise UsageError(f"content_type: {text!r} is not a media type", field="content_type")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), separators=(",", ":"), ensure_ascii=False) if value else ""


# checking


def check_batch(data: bytes) -> Batch:
    """What the batch's headers say; only they and the extras are looked at.

    UsageError, naming the draft as ``batch[position]``, for anything that is not a batch of at least one draft.
    """
    if not data:
        raise UsageError("batch: must hold at least one draft", field="batch")
    return _uniform_batch(data) or _mixed_batch(data)


def _uniform_batch(data: bytes) -> Batch | None:
    """Drafts of equal length without extras, checked by columns instead of one by one; None if it is no such batch."""
    if len(data) < DRAFT_BYTES:
        return None
    length = LENGTH.unpack_from(data)[0]
    stride = length + LENGTH_BYTES
    count, left = divmod(len(data), stride)
    if left or count < 2 or stride < DRAFT_BYTES:
        return None
    rows = Struct(f">IBBQQ{stride - DRAFT_BYTES}x").iter_unpack(data)
    lengths, types, flags, sequences, replies = zip(*rows, strict=True)
    if lengths.count(length) != count or flags.count(0) != count or max(types) >= len(TYPES):
        return None
    if max(sequences) > SEQUENCE_MAX or max(replies) > SEQUENCE_MAX:
        return None
    starts = range(0, len(data) + 1, stride)
    return Batch(data, starts, types, sequences, replies, plain=types.count(DATA) == count)


def _mixed_batch(data: bytes) -> Batch:
    starts = [0]
    types: list[int] = []
    sequences: list[int] = []
    replies: list[int] = []
    start, end, plain = 0, len(data), True
    while start < end:
        if end - start < DRAFT_BYTES:
            raise _malformed(len(types), f"{end - start} bytes are left, less than a draft has")
        length, type_, flags, sequence, reply = DRAFT.unpack_from(data, start)
        stop = start + LENGTH_BYTES + length
        if length < DRAFT_REST_BYTES or stop > end:
            raise _malformed(len(types), f"a length of {length} does not fit into the batch")
        if type_ >= len(TYPES):
            raise _malformed(len(types), f"there is no type {type_}")
        if sequence > SEQUENCE_MAX or reply > SEQUENCE_MAX:
            raise _malformed(len(types), f"a sequence is over {SEQUENCE_MAX}")
        if flags or type_:
            plain = False
            _check_extras(data, start + DRAFT_BYTES, stop, flags, len(types))
        types.append(type_)
        sequences.append(sequence)
        replies.append(reply)
        starts.append(stop)
        start = stop
    return Batch(data, starts, types, sequences, replies, plain)


def _check_extras(data: bytes, start: int, stop: int, flags: int, position: int) -> None:
    try:
        check_content_type(decode_extras(data, start, stop, flags)[0].content_type)
    except ValueError as error:
        raise _malformed(position, str(error)) from None


def decode_extras(data: bytes, start: int, stop: int, flags: int) -> tuple[Extras, int]:
    """The extras between ``start`` and ``stop``, and where the payload begins.  ValueError if they are malformed."""
    if flags > ALL_EXTRAS:
        raise ValueError(f"flags {flags:#x} are not known")
    texts = ["", "", "", ""]
    for bit in range(4):
        if not flags & 1 << bit:
            continue
        begin = start + LENGTH_BYTES
        if begin > stop:
            raise ValueError("an extra's length is cut off")
        end = begin + LENGTH.unpack_from(data, start)[0]
        if end > stop:
            raise ValueError("an extra is longer than its draft")
        texts[bit] = str(data[begin:end], "utf-8")
        start = end
    headers, control = _object(texts[1], "headers"), _object(texts[3], "control fields")
    if not all(isinstance(value, str) for value in headers.values()):
        raise ValueError("headers must be strings")
    return Extras(texts[0], headers, texts[2], control), start


def _object(text: str, what: str) -> Mapping[str, Any]:
    if not text:
        return NOTHING
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"{what} are nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object")  # noqa: TRY004 - of what a stranger sent, not of a caller
    return value


def _malformed(position: int, why: str) -> UsageError:
    return UsageError(f"batch[{position}]: {why}", field=f"batch[{position}]")


# what the node makes of it


def encode_run(
    first_index: int,
    sender: bytes,
    timestamp: float,
    drafts: bytes,
    count: int,
    *,
    late: Sequence[int] = (),
    contiguous: bool = False,
) -> bytes:
    """A run: ``count`` drafts of one sender, of which those at the positions ``late`` came late."""
    flags = RUN_CONTIGUOUS if contiguous else 0
    positions = b""
    if late:
        flags |= RUN_LATE
        positions = Struct(f">I{len(late)}I").pack(len(late), *late)
    length = RUN_BYTES - LENGTH_BYTES + len(sender) + len(positions) + len(drafts)
    head = RUN.pack(length, flags, first_index, count, timestamp, len(sender))
    return b"".join((head, sender, positions, drafts))


def renumbered(batch: Batch, sequences: Sequence[int]) -> Batch:
    """The same batch with other sequences: for drafts that left theirs to the node."""
    data = bytearray(batch.data)
    for start, sequence in zip(batch.starts, sequences, strict=False):
        _SEQUENCE.pack_into(data, start + _SEQUENCE_AT, sequence)
    return batch._replace(data=bytes(data), sequences=sequences)
