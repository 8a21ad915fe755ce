"""One token cannot take all calls there are."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from holdfast.errors import RateLimited
from holdfast.grpc.shares import Shares


def test_each_holder_has_so_many_calls_and_nobody_in_particular_any_number() -> None:
    shares = Shares(2)
    with ExitStack() as calls:
        for holder in ("ann", "ann", "ben", "", "", ""):
            calls.enter_context(shares.held_by(holder))
        with pytest.raises(RateLimited) as caught, shares.held_by("ann"):
            pass
        error = caught.value
        assert (error.name, error.limit, error.value) == ("grpc_calls_per_token_max", 2, 3)
        assert error.message == "grpc_calls_per_token_max: 3 is over the limit of 2" and error.retry_after_s > 0
        calls.enter_context(shares.held_by("ben"))
    with shares.held_by("ann"), shares.held_by("ann"):
        pass
    assert not shares._held, "who has no call takes no room"


def test_a_call_that_fails_gives_its_place_back() -> None:
    shares = Shares(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), shares.held_by("ann"):
            raise ZeroDivisionError
