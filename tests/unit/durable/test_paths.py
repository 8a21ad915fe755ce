"""Paths that can name a stream."""

from __future__ import annotations

import pytest

from holdfast.durable.paths import check_path
from holdfast.errors import UsageError
from holdfast.limits import LIMITS


@pytest.mark.parametrize(
    "path", ["a", "a/b", "user-1/chat 2", "ünïcode/…", "a.b/..c", "x" * LIMITS.stream_path_bytes_max]
)
def test_a_path_is_itself(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0", "a\nb", "\x7f", "\ud800",
     "x" * (LIMITS.stream_path_bytes_max + 1), "ü" * (LIMITS.stream_path_bytes_max // 2 + 1)],
)  # fmt: skip
def test_what_cannot_be_a_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_path(path)
    assert caught.value.field == "path"
