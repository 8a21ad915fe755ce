from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.limits import LIMITS
from holdfast.records.wire import (
    COMPRESSED,
    DENSE,
    ERROR,
    EXISTED,
    HEAD_BYTES,
    INDEX_MAX,
    ITEM_HEAD_BYTES,
    OK,
    Batch,
    BatchDecoder,
    Compressor,
    encode_batch,
    zstd,
)

TINY = LIMITS._replace(record_batch_bytes_max=1_000, record_batch_items_max=10)

ITEMS = st.lists(
    st.tuples(st.integers(0, INDEX_MAX), st.sampled_from([OK, ERROR, EXISTED]), st.binary(max_size=40)), min_size=1
)
BATCHES = st.lists(ITEMS, max_size=4)


def encode(batch: Sequence[tuple[int, int, bytes]], compressor: Compressor | None = None) -> bytes:
    indexes, statuses, bodies = zip(*batch, strict=True)
    return encode_batch(indexes, bodies, bytes(statuses), compressor)


def items(batches: Iterator[Batch]) -> list[list[tuple[int, int, bytes]]]:
    return [
        [
            (index, batch.statuses[at] if batch.statuses else OK, body)
            for at, (index, body) in enumerate(zip(batch.indexes, batch.bodies, strict=True))
        ]
        for batch in batches
    ]


@given(BATCHES, st.lists(st.integers(1, 50), min_size=1), st.booleans())
def test_there_and_back_however_it_is_cut(
    batches: list[list[tuple[int, int, bytes]]], cuts: list[int], compressed: bool
) -> None:
    compressor = zstd() if compressed else None
    stream = b"".join(encode(batch, compressor) for batch in batches)
    decoder = BatchDecoder(compressor)
    found: list[list[tuple[int, int, bytes]]] = []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        decoder.feed(stream[at : at + size])
        found += items(iter(decoder))
        at, turn = at + size, turn + 1
    decoder.finish()
    assert found == batches
    assert decoder.pending_bytes == 0


@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_is_a_batch_or_refused(data: bytes, compressed: bool) -> None:
    decoder = BatchDecoder(zstd() if compressed else None, TINY)
    decoder.feed(data)
    try:
        for batch in decoder:
            assert len(batch.indexes) == len(batch.bodies) >= 1
            assert len(batch.statuses) in (0, len(batch.bodies))
        decoder.finish()
    except UsageError as error:
        assert error.field == "batch"


@given(ITEMS, st.data())
def test_a_changed_byte_gives_a_batch_or_is_refused(batch: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    stream = bytearray(encode(batch))
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    decoder = BatchDecoder()
    decoder.feed(stream)
    try:
        list(decoder)
    except UsageError as error:
        assert error.field == "batch"


def test_indexes_that_follow_one_another_take_no_room() -> None:
    bodies = [b"x"] * 100
    dense = encode_batch(range(7, 107), bodies)
    assert dense == encode_batch(list(range(7, 107)), bodies)
    assert len(dense) == HEAD_BYTES + 8 + 100 * 5
    assert dense[4] == DENSE
    for others in (range(106, 6, -1), range(0, 200, 2), [0, 2, 1, *range(3, 100)]):
        sparse = encode_batch(others, bodies)
        assert sparse[4] == 0
        assert len(sparse) == HEAD_BYTES + 100 * (8 + 5)
        decoder = BatchDecoder()
        decoder.feed(sparse)
        (found,) = decoder
        assert list(found.indexes) == list(others)


def test_an_item_takes_as_much_as_is_said() -> None:
    assert len(encode_batch([5, 3], [b"", b""], bytes([ERROR, OK]))) == HEAD_BYTES + 2 * ITEM_HEAD_BYTES


def test_the_layout_is_as_it_was() -> None:
    assert encode_batch([4, 5], [b"ab", b""]).hex(" ") == (
        "00 00 00 17 02 00 00 00 02 00 00 00 00 00 00 00 04 00 00 00 02 00 00 00 00 61 62"
    )
    assert encode_batch([9, 1], [b"a", b"b"], bytes([OK, EXISTED])).hex(" ") == (
        "00 00 00 21 04 00 00 00 02 00 00 00 00 00 00 00 09 00 00 00 00 00 00 00 01 00 02 00 00 00 01 00 00 00 01 61 62"
    )


def test_compressed_only_where_it_helps() -> None:
    compressor = zstd()
    assert encode_batch([0], [b"short" * 10], compressor=compressor)[4] == DENSE
    large = encode_batch([0], [b"long" * 1000], compressor=compressor)
    assert large[4] == DENSE | COMPRESSED
    assert len(large) < 200
    noise = b"".join(sha256(bytes([number])).digest() for number in range(40))
    assert encode_batch([0], [noise], compressor=compressor)[4] == DENSE
    decoder = BatchDecoder()
    decoder.feed(large)
    with pytest.raises(UsageError, match="not agreed on"):
        list(decoder)


def refusal(stream: bytes, compressor: Compressor | None = None) -> str:
    decoder = BatchDecoder(compressor, TINY)
    decoder.feed(stream)
    with pytest.raises(UsageError) as caught:
        list(decoder)
        decoder.finish()
    assert caught.value.field == "batch"
    return str(caught.value)


def test_what_is_refused_and_why() -> None:
    head = pack(">IBI", 100, 8, 1)
    assert "flags 0x8" in refusal(head)
    assert "5000 bytes are over record_batch_bytes_max = 1000" in refusal(pack(">IBI", 5000, 0, 1))
    assert "11 items are over record_batch_items_max = 10" in refusal(pack(">IBI", 100, 0, 11))
    assert "it is empty" in refusal(pack(">IBI", 5, 0, 0))
    assert "too short" in refusal(pack(">IBI", 5, 0, 1))
    assert "its items take 24 bytes, it has 21" in refusal(pack(">IBIQI", 26, DENSE, 1, 0, 12) + b"123456789")
    assert "out of range" in refusal(pack(">IBIQI", 17, DENSE, 1, 1 << 63, 0))
    assert "within a batch, 3 bytes" in refusal(b"abc")
    assert "decompressed" in refusal(pack(">IBII", 15, COMPRESSED, 1, 100) + b"nonsen", zstd())


def test_a_bomb_is_refused_before_it_is_made_room_for() -> None:
    compressor = zstd()
    bomb = compressor.compress(bytes(50_000_000))
    for said in (900, 50_000_000):
        stream = pack(">IBII", 9 + len(bomb), COMPRESSED | DENSE, 1, said) + bomb
        decoder = BatchDecoder(compressor, LIMITS._replace(record_batch_bytes_max=100_000))
        decoder.feed(stream)
        with pytest.raises(UsageError):
            list(decoder)
