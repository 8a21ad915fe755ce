"""Entity tags and conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.durable.model import Page, StreamInfo
from holdfast.http.serving import etag_of, matches_etag

INFO = StreamInfo(path="p", id="i", content_type="text/plain", tail=9)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"x", "a"', True),
        ("*", True),
        ('"x"', False),
        ("a", False),
        ("", False),
        (None, False),
    ],
)
def test_a_condition_names_tags(condition: str | None, holds: bool) -> None:
    assert matches_etag(condition, '"a"') is holds


positions = st.integers(0, 50)
pages = st.builds(Page, st.just([b"x"]), positions, positions, positions, st.booleans())


@given(pages, pages)
def test_tags_differ_where_content_or_the_end_does(one: Page, other: Page) -> None:
    same = (one.start, one.end, one.finished) == (other.start, other.end, other.finished)
    assert (etag_of(INFO, one) == etag_of(INFO, other)) is same
