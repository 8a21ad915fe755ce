"""Where the door is to be."""

from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.grpc.settings import GrpcSettings, parse_authority


@pytest.mark.parametrize(
    ("text", "found"),
    [("127.0.0.1:8888", ("127.0.0.1", 8888)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65_535))],
)
def test_a_place_is_a_host_and_a_port(text: str, found: tuple[str, int]) -> None:
    assert parse_authority(text) == found


@pytest.mark.parametrize("text", ["", "8888", "host:", ":8888", "host:x", "host:65536", "::1:8888", "host:-1", "h:²"])
def test_anything_else_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="grpc: ") as caught:
        parse_authority(text)
    assert caught.value.field == "grpc"


def test_an_authority_is_written_as_it_is_read() -> None:
    assert GrpcSettings("::1", 1).authority == "[::1]:1"
    assert GrpcSettings("127.0.0.1", 1).authority == "127.0.0.1:1"
