"""Where reading begins, and what fits a page."""

from __future__ import annotations

import pytest

from holdfast.channels.packing import encode_batch, encode_draft, encode_run
from holdfast.channels.reading.pages import Page, first_index
from holdfast.channels.unpacking import iter_entries
from holdfast.errors import Gone, LimitExceeded, UsageError
from holdfast.limits import LIMITS

SMALL = LIMITS._replace(channel_page_bytes=300, frame_bytes_max=1024 + 600)


@pytest.mark.parametrize(("after", "first"), [(None, 5), (4, 5), (5, 6), (9, 10)])
def test_after_an_index(after: int | None, first: int) -> None:
    assert first_index("p/c", after, oldest=5, next_index=10) == first


@pytest.mark.parametrize("after", [-1, 10, 1000])
def test_no_index_of_this_channel(after: int) -> None:
    with pytest.raises(UsageError) as caught:
        first_index("p/c", after, oldest=5, next_index=10)
    assert caught.value.field == "after"


@pytest.mark.parametrize("after", [0, 3])
def test_what_was_dropped_is_told(after: int) -> None:
    with pytest.raises(Gone) as caught:
        first_index("p/c", after, oldest=5, next_index=10)
    assert caught.value.oldest == 5


def run_of(index: int, *payloads: bytes) -> bytes:
    return encode_run(index, b"me", 0.0, encode_batch(payloads, first_sequence=index), len(payloads))


def test_a_page_is_filled_to_the_entry() -> None:
    page = Page(SMALL)
    page.add(run_of(1, b"x" * 30, b"x" * 30))
    assert not page.full
    page.add(run_of(3, *[b"x" * 30] * 9))
    assert page.full
    assert [entry.index for entry in iter_entries(page.data())] == [1, 2, 3, 4]
    assert len(page.data()) <= 300


def test_one_entry_may_be_larger_than_a_page_but_not_than_an_answer() -> None:
    page = Page(SMALL)
    page.add(run_of(1, b"x" * 400, b"y"))
    assert [len(entry.payload) for entry in iter_entries(page.data())] == [400]
    with pytest.raises(LimitExceeded) as caught:
        Page(SMALL).add(encode_run(1, b"me", 0.0, encode_draft(b"x" * 900), 1))
    assert caught.value.name == "frame_bytes_max"
    page = Page(SMALL)
    page.add(run_of(1, b"x"))
    page.add(run_of(2, b"x" * 900))
    assert page.full
    assert [entry.index for entry in iter_entries(page.data())] == [1]


def test_a_page_of_nothing_is_nothing() -> None:
    page = Page(SMALL)
    page.add(b"")
    assert page.data() == b""
    assert page.room == 300
