"""What is stored beside a stream, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.durable.meta import StreamMeta, decode_meta
from holdfast.engine.base import Producer
from holdfast.errors import CorruptionError

metas = st.builds(
    StreamMeta,
    id=st.text(),
    path=st.text(),
    content_type=st.text(),
    created_at_s=st.floats(0, 1e12),
    ttl_s=st.none() | st.integers(0, 2**53),
    expires_at_s=st.none() | st.floats(0, 1e12),
    source=st.none() | st.text(),
    fork_position=st.none() | st.integers(0, 2**53),
    sequence=st.none() | st.text(),
    closed_by=st.none() | st.builds(Producer, st.text(), st.integers(0, 2**53), st.integers(0, 2**53)),
)


@given(metas)
def test_meta_comes_back(meta: StreamMeta) -> None:
    assert decode_meta("l", meta.encode()) == meta


@given(st.binary(max_size=30))
def test_what_is_no_meta_is_corruption(data: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_meta("l", data)
