from __future__ import annotations

import pytest

from holdfast.client.records.carrier import Carrier, compressor_for
from holdfast.client.records.kinds import lookup_kind, pull_kind, push_kind
from holdfast.client.records.options import make_core
from holdfast.errors import (
    CorruptionError,
    DisconnectedError,
    NotFound,
    ProtocolError,
    Unavailable,
    UsageError,
)
from holdfast.records.model import LookupResult, PushResult, RecordMeta, RecordRef, StreamStart
from holdfast.records.wire import ERROR, OK, BatchDecoder, encode_batch
from holdfast.rpc.failures import encode_error, encode_failure
from holdfast.streams import Chunk, End, Failed, Gap


def pushing(count: int, start: StreamStart | None = None, compression: str = "") -> Carrier[PushResult]:
    core = make_core(push_kind(), {}, 0.0)
    for number in range(count):
        core.add(b'{"number": %d}' % number, 0.0)
    core.opening()
    core.opened(0.0)
    return Carrier(core, push_kind(), start or StreamStart(), compressor_for(compression))


def test_items_leave_in_batches_and_answers_come_in_any_pieces() -> None:
    carrier = pushing(5, StreamStart(batch_items_max=2))
    batches = [carrier.next_batch(0.0) for _ in range(4)]
    decoder = BatchDecoder()
    decoder.feed(b"".join(batches))
    assert [list(batch.indexes) for batch in decoder] == [[0, 1], [2, 3], [4]]
    assert batches[3] == b""
    answers = encode_batch([4, 3, 0], [b"c4", encode_error(NotFound()), b"c0"], bytes([OK, ERROR, OK]))
    for at in range(len(answers)):
        carrier.receive(Chunk(at, answers[at : at + 1], 0), 0.0)
    carrier.receive(Chunk(0, encode_batch([1, 2], [b"c1", b"c2"]), 0), 0.0)
    found = carrier._core.take(0.0)
    assert [result.ref for result in found] == [RecordRef(cid=f"c{n}") if n != 3 else None for n in range(5)]
    assert isinstance(found[3].error, NotFound)
    metrics = carrier._core.metrics
    assert metrics.wire_sent_bytes == sum(map(len, batches))
    assert metrics.wire_received_bytes > metrics.received_bytes


def test_compression_is_used_if_it_was_granted() -> None:
    granted = pushing(200, StreamStart(compression="zstd"), "zstd").next_batch(0.0)
    assert len(granted) * 2 < len(pushing(200, StreamStart(), "zstd").next_batch(0.0))
    with pytest.raises(UsageError, match="compression"):
        compressor_for("lzw")


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (End(0), ProtocolError),
        (Gap(0, 5), ProtocolError),
        (Failed(0, encode_failure(Unavailable("stopping"))), Unavailable),
        (Failed(0, "killed"), DisconnectedError),
        (Chunk(0, b"\xff" * 20, 0), ProtocolError),
        (Chunk(0, encode_batch([7], [b"c"]), 0), ProtocolError),
        (Chunk(0, encode_batch([0, 0], [b"c", b"c"]), 0), ProtocolError),
        (Chunk(0, encode_batch([7], [b"{}"], bytes([ERROR])), 0), ProtocolError),
    ],
)
def test_what_ends_a_stream(item: Chunk | End | Gap | Failed, error: type[Exception]) -> None:
    carrier = pushing(1)
    carrier.next_batch(0.0)
    with pytest.raises(error):
        carrier.receive(item, 0.0)


def test_a_record_that_is_not_what_was_asked_for_fails_alone() -> None:
    core = make_core(pull_kind(), {}, 0.0)
    core.add(b"cid", 0.0)
    core.opening()
    core.opened(0.0)
    carrier = Carrier(core, pull_kind(), StreamStart(), None)
    carrier.next_batch(0.0)
    carrier.receive(Chunk(0, encode_batch([0], [b"{}"]), 0), 0.0)
    assert isinstance(core.take(0.0)[0].error, CorruptionError)


def test_a_consumer_that_has_enough_is_spared_the_rest() -> None:
    core = make_core(lookup_kind(), {}, 0.0)
    core.add(b"a", 0.0)
    core.add(b"b", 0.0)
    core.opening()
    core.opened(0.0)
    carrier = Carrier(core, lookup_kind(), StreamStart(), None)
    carrier.next_batch(0.0)
    large = b'{"cid": "a", "name": "' + b"x" * (8 << 20) + b'"}'
    carrier.receive(Chunk(0, encode_batch([0], [large]) + encode_batch([1], [b'{"cid": "b"}']), 0), 0.0)
    assert carrier.backlogged
    assert len(core.take(0.0)) == 1
    assert core.take(0.0) == []
    assert not carrier.backlogged
    carrier.go_on(0.0)
    assert core.take(0.0) == [LookupResult(1, RecordMeta(cid="b"))]
