"""Drafts, batches and runs: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.packing import (
    DATA,
    DRAFT,
    DRAFT_BYTES,
    SEQUENCE_MAX,
    TYPES,
    Batch,
    Extras,
    check_batch,
    encode_batch,
    encode_draft,
    encode_run,
    renumbered,
)
from holdfast.channels.unpacking import Entry, iter_entries
from holdfast.errors import UsageError

TEXT = st.text(max_size=8)
SEQUENCES = st.integers(0, SEQUENCE_MAX)
CONTENT_TYPES = st.sampled_from(["", "application/json", "a/b", "x-t/y; z=1"])
EXTRAS = st.builds(
    Extras,
    CONTENT_TYPES,
    st.dictionaries(TEXT, TEXT, max_size=3),
    TEXT,
    st.dictionaries(TEXT, st.integers() | TEXT | st.none() | st.lists(st.booleans()), max_size=3),
)
DRAFTS = st.tuples(st.binary(max_size=40), st.sampled_from(TYPES), SEQUENCES, SEQUENCES, st.just(Extras()) | EXTRAS)


def draft_of(drawn: tuple[bytes, Any, int, int, Extras]) -> bytes:
    payload, type_, sequence, reply, extras = drawn
    return encode_draft(payload, type=type_, sequence=sequence, in_reply_to=reply, extras=extras)


def entries_of(batch: Batch, sender: str = "s") -> list[Entry]:
    return list(iter_entries(encode_run(1, sender.encode(), 5.0, batch.data, batch.entries)))


@given(st.lists(DRAFTS, min_size=1, max_size=8))
def test_what_a_sender_makes_is_what_a_reader_gets(drafts: list[tuple[bytes, Any, int, int, Extras]]) -> None:
    batch = check_batch(b"".join(map(draft_of, drafts)))
    assert batch.entries == len(drafts)
    assert list(batch.sequences) == [sequence for _, _, sequence, _, _ in drafts]
    assert list(batch.replies) == [reply for _, _, _, reply, _ in drafts]
    assert batch.plain == all(type_ == "data" and extras == Extras() for _, type_, _, _, extras in drafts)
    for place, (entry, (payload, type_, sequence, reply, extras)) in enumerate(
        zip(entries_of(batch), drafts, strict=True)
    ):
        assert entry == Entry(
            place + 1, "s", sequence, reply, 5.0, type_, payload,
            extras.error, extras.content_type, extras.headers, False, extras.control,
        )  # fmt: skip
        assert batch.draft(place) == draft_of(drafts[place])
        assert batch.bytes_of(place) == len(batch.draft(place)) - DRAFT_BYTES


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=12), st.integers(0, 9))
def test_a_batch_in_bulk_is_the_same_as_one_by_one(payloads: list[bytes], first: int) -> None:
    sequences = [first + place if first else 0 for place in range(len(payloads))]
    assert encode_batch(payloads, first_sequence=first) == b"".join(
        encode_draft(payload, sequence=sequence) for payload, sequence in zip(payloads, sequences, strict=True)
    )


@given(st.binary(max_size=6), st.integers(2, 9), st.integers(1, 1000))
def test_drafts_of_equal_length_are_checked_by_columns_to_the_same_end(payload: bytes, count: int, first: int) -> None:
    uniform = check_batch(encode_batch([payload] * count, first_sequence=first))
    assert isinstance(uniform.starts, range)
    mixed = check_batch(uniform.data + encode_draft(payload + b"x", sequence=first + count))
    assert not isinstance(mixed.starts, range)
    assert list(mixed.starts)[:-1] == list(uniform.starts)
    assert mixed.sequences[:-1] == list(uniform.sequences)
    assert [uniform.draft(place) for place in range(count)] == [mixed.draft(place) for place in range(count)]


@given(st.binary(max_size=120))
def test_no_bytes_are_taken_for_a_batch_that_are_none(data: bytes) -> None:
    try:
        batch = check_batch(data)
    except UsageError as error:
        assert error.field.startswith("batch")
    else:
        assert b"".join(batch.draft(place) for place in range(batch.entries)) == data
        assert all(0 <= type_ < len(TYPES) for type_ in batch.types)
        assert len(entries_of(batch)) == batch.entries


@given(st.lists(DRAFTS, min_size=1, max_size=4), st.data())
def test_a_damaged_batch_is_refused_or_is_another_batch(
    drafts: list[tuple[bytes, Any, int, int, Extras]], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(map(draft_of, drafts)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        batch = check_batch(bytes(whole))
    except UsageError:
        return
    assert len(entries_of(batch)) == batch.entries


def packed(length: int, type_: int = DATA, flags: int = 0, sequence: int = 1, reply: int = 0) -> bytes:
    return DRAFT.pack(length, type_, flags, sequence, reply)


GOOD = encode_draft(b"x", sequence=1)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (b"", "at least one"),
        (b"x", r"batch\[0\]"),
        (GOOD + b"\0" * 5, r"batch\[1\]: 5 bytes are left"),
        (GOOD + packed(17), r"batch\[1\]: a length of 17"),
        (GOOD + packed(19), r"batch\[1\]: a length of 19"),
        (GOOD + packed(18, type_=10), r"batch\[1\]: there is no type 10"),
        (GOOD + packed(18, flags=16), r"batch\[1\]: flags 0x10"),
        (GOOD + packed(18, flags=1), r"batch\[1\]: an extra's length is cut off"),
        (GOOD + packed(22, flags=1) + b"\0\0\0\1", r"batch\[1\]: an extra is longer"),
        (GOOD + packed(23, flags=1) + b"\0\0\0\1\xff", r"batch\[1\]: .*utf-8"),
        (GOOD + packed(23, flags=2) + b"\0\0\0\1{", r"batch\[1\]"),
        (GOOD + packed(24, flags=2) + b"\0\0\0\2[]", r"batch\[1\]: headers must be a JSON object"),
        (GOOD + packed(29, flags=2) + b'\0\0\0\7{"a":1}', r"batch\[1\]: headers must be strings"),
        (GOOD + packed(23, flags=8) + b"\0\0\0\0011", r"batch\[1\]: control fields must be"),
        (GOOD + packed(18, sequence=SEQUENCE_MAX + 1), r"batch\[1\]: a sequence is over"),
        (GOOD + packed(18, reply=SEQUENCE_MAX + 1), r"batch\[1\]: a sequence is over"),
        (packed(18, sequence=1 << 63) * 3, r"batch\[0\]: a sequence is over"),
        (packed(18, type_=99) * 3, r"batch\[0\]: there is no type 99"),
        (b"\xff\xff\xff\xff" * 8, r"batch\[0\]"),
        (b"\0" * 64, r"batch\[0\]"),
    ],
)
def test_a_malformed_batch_is_refused_by_the_place_of_the_draft(batch: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_batch(batch)


def test_control_fields_nested_without_end_are_refused() -> None:
    deep = b'{"a":' + b"[" * 100_000
    length = DRAFT_BYTES - 4 + 4 + len(deep)
    with pytest.raises(UsageError, match=r"batch\[0\]"):
        check_batch(packed(length, flags=8) + len(deep).to_bytes(4, "big") + deep)


@pytest.mark.parametrize(
    "wrong",
    [{"type": "shout"}, {"sequence": -1}, {"sequence": SEQUENCE_MAX + 1}, {"in_reply_to": -1}],
    ids=str,
)
def test_a_draft_that_cannot_be_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        encode_draft(b"", **wrong)
    assert caught.value.field == next(iter(wrong))


def test_a_batch_cannot_run_out_of_sequences() -> None:
    with pytest.raises(UsageError):
        encode_batch([b"", b""], first_sequence=SEQUENCE_MAX - 1)


def test_drafts_can_be_given_other_sequences() -> None:
    batch = check_batch(encode_batch([b"a", b"bb"]) + encode_draft(b"", type="end", in_reply_to=9))
    given_ = renumbered(batch, [4, 5, 9])
    again = check_batch(given_.data)
    assert list(again.sequences) == [4, 5, 9]
    assert (again.types, again.replies) == (batch.types, batch.replies)
    assert [again.draft(place)[DRAFT_BYTES:] for place in range(3)] == [b"a", b"bb", b""]


def test_the_bytes_are_what_the_page_says() -> None:
    draft = encode_draft(
        b"hi", type="error", sequence=7, in_reply_to=3, extras=Extras("a/b", {"k": "v"}, "why", {"of": 1})
    )
    assert draft.hex(" ") == (
        "00 00 00 3b 02 0f 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 03 "
        "00 00 00 03 61 2f 62 "
        "00 00 00 09 7b 22 6b 22 3a 22 76 22 7d "
        "00 00 00 03 77 68 79 "
        "00 00 00 08 7b 22 6f 66 22 3a 31 7d 68 69"
    )
    run = encode_run(256, b"me", 1.5, draft, 1, late=[0], contiguous=True)
    assert run.startswith(
        bytes.fromhex("00 00 00 60 03 00 00 00 00 00 00 01 00 00 00 00 01 3f f8 00 00 00 00 00 00 00 02 6d 65")
    )
    assert run[29:] == bytes.fromhex("00 00 00 01 00 00 00 00") + draft


@pytest.mark.parametrize(
    "text", ["", "a/b", "text/plain; charset=utf-8", "image/svg+xml ;q=1", "application/vnd.x+json"]
)
def test_a_media_type_is_a_content_type(text: str) -> None:
    data = encode_draft(b"x", extras=Extras(content_type=text))
    assert check_batch(data).entries == 1


@pytest.mark.parametrize("text", ["a", "a/", "/b", "a b/c", "a/b\n", "a/b;x=\0", "a/b;\u00e9", "\u00e9/b", " "])
def test_what_is_no_media_type_is_no_content_type(text: str) -> None:
    with pytest.raises(UsageError, match="is not a media type") as caught:
        encode_draft(b"x", extras=Extras(content_type=text))
    assert caught.value.field == "content_type"
    encoded = text.encode()
    extra = len(encoded).to_bytes(4, "big") + encoded
    hostile = (18 + len(extra)).to_bytes(4, "big") + b"\0\1" + bytes(16) + extra
    with pytest.raises(UsageError, match="is not a media type") as caught:
        check_batch(hostile)
    assert caught.value.field == "batch[0]"
