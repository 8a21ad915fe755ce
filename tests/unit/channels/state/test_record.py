"""What is stored of a channel."""

from __future__ import annotations

import pytest

from holdfast.channels.model import ChannelLimits
from holdfast.channels.state.record import ChannelRecord, Question, decode_record, encode_record, log_name
from holdfast.errors import CorruptionError

FULL = ChannelRecord(
    submitter="alice",
    executor="bob",
    retain=True,
    limits=ChannelLimits(entries_max=5, rate_per_s=1.5),
    created_at=1.0,
    closed_at=2.0,
    questions=(Question(index=3, sequence=4, sender="bob", policy="deny", expires_at=9.5),),
)


@pytest.mark.parametrize("record", [FULL, ChannelRecord(submitter="a")])
def test_it_comes_back_as_it_was(record: ChannelRecord) -> None:
    assert decode_record("log", encode_record(record)) == record


def test_what_says_nothing_takes_no_room() -> None:
    assert encode_record(ChannelRecord(submitter="a")) == b'{"submitter":"a"}'


@pytest.mark.parametrize("meta", [b"", b"{", b"[]", b'{"submitter":1}', b"{}"])
def test_what_cannot_be_read_names_the_log(meta: bytes) -> None:
    with pytest.raises(CorruptionError) as caught:
        decode_record(log_name("p", "c"), meta)
    assert "channels/p/c" in caught.value.where


def test_a_newer_nodes_fields_are_left_alone() -> None:
    assert decode_record("log", b'{"submitter":"a","colour":"blue"}').submitter == "a"
