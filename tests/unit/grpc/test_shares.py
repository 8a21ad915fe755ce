"""One token cannot take all calls there are."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from holdfast.errors import RateLimited
from holdfast.grpc.shares import Charge, Share, Shares
from holdfast.limits import LIMITS


def test_each_holder_has_so_many_calls_and_nobody_in_particular_any_number() -> None:
    shares = Shares(LIMITS._replace(grpc_calls_per_token_max=2))
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
    shares = Shares(LIMITS._replace(grpc_calls_per_token_max=1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), shares.held_by("ann"):
            raise ZeroDivisionError


def test_all_calls_of_a_holder_have_one_share_and_nobody_in_particular_one_without_end() -> None:
    shares = Shares(LIMITS._replace(grpc_bytes_per_token_max=10))
    with shares.held_by("ann") as first, shares.held_by("ann") as second, shares.held_by("ben") as other:
        assert first is second is not other
        Charge(first, 8)
        assert second.crowded(3) and not second.crowded(2) and not other.crowded(10)
    with shares.held_by("") as one, shares.held_by("") as two:
        assert one is not two and not one.crowded(1 << 60)


def test_a_charge_changes_and_ends_once() -> None:
    share = Share(100)
    charge, other = Charge(share, 30), Charge(share, 40)
    charge.change(10)
    assert share.held_bytes == 50
    charge.end()
    charge.end()
    charge.change(99)  # work that ends after its call
    assert share.held_bytes == 40
    other.end()
    assert share.held_bytes == 0
