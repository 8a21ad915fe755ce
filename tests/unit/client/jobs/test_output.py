"""Pieces of output as a caller gets them."""

from __future__ import annotations

import pytest

from holdfast.client.jobs.output import OutputChunk


@pytest.mark.parametrize(("offset", "kept"), [(20, b"abcd"), (14, b"abcd"), (12, b"ab"), (10, b""), (3, b"")])
def test_what_comes_before_an_offset(offset: int, kept: bytes) -> None:
    chunk = OutputChunk(10, b"abcd", "stderr").before(offset)
    assert chunk == OutputChunk(10, kept, "stderr")


@pytest.mark.parametrize(("offset", "kept"), [(20, 4), (12, 2), (3, 0)])
def test_what_of_a_gap_comes_before_an_offset(offset: int, kept: int) -> None:
    assert OutputChunk(10, b"", gap_bytes=4).before(offset) == OutputChunk(10, b"", gap_bytes=kept)
