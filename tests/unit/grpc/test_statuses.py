"""Which errors a client takes for an item's, and which end everything."""

from __future__ import annotations

import pytest

from holdfast.errors import HoldfastError, LimitExceeded, NotFound, RateLimited, Unauthenticated, Unavailable
from holdfast.grpc.statuses import error_of, is_of_an_item, status_of


@pytest.mark.parametrize(
    ("error", "of_an_item"),
    [
        (NotFound("no such record"), True),
        (LimitExceeded("record_bytes_max: 9 is over the limit of 8"), True),
        (RateLimited("grpc_calls_per_token_max: 3 is over the limit of 2"), False),
        (Unauthenticated("a token is needed"), False),
        (Unavailable("gone"), False),
    ],
)
def test_an_error_crosses_and_is_known_for_what_it_is(error: HoldfastError, of_an_item: bool) -> None:
    status, message, trailing = status_of(error)
    arrived = error_of(status, message, trailing)
    assert (type(arrived), arrived.message) == (type(error), error.message)
    assert is_of_an_item(arrived) is of_an_item
