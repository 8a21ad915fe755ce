from __future__ import annotations

from holdfast.errors import NotFound, StorageError
from holdfast.records.streaming.breaker import CircuitBreaker
from holdfast.records.streaming.gate import Gate


def test_without_a_breaker_all_goes_through() -> None:
    gate = Gate(None)
    gate.met(StorageError(), 0.0)
    gate.answered()
    gate.leave()
    assert gate.may_try(0.0)
    assert gate.may_send(0.0, waiting=False)
    assert (gate.closes_at, gate.look_again_at) == (None, None)


def test_only_errors_that_tell_of_the_node_open_it() -> None:
    gate = Gate(CircuitBreaker(failures=1, open_s=4.0))
    gate.met(NotFound(), 0.0)
    assert gate.may_send(0.0, waiting=False)
    gate.met(StorageError(), 0.0)
    assert (gate.may_try(3.9), gate.may_send(3.9, waiting=False), gate.closes_at) == (False, False, 4.0)
    assert gate.may_try(4.0)


def test_two_streams_share_one_probe() -> None:
    breaker = CircuitBreaker(failures=1, open_s=4.0)
    one, other = Gate(breaker), Gate(breaker)
    one.met(StorageError(), 0.0)
    assert one.may_send(4.0, waiting=False)
    assert not other.may_send(4.0, waiting=True)
    assert other.look_again_at is None
    assert not other.may_send(4.0, waiting=False)
    assert other.look_again_at == 5.0
    one.leave()
    assert other.may_send(5.0, waiting=False)
    assert other.look_again_at is None
    other.answered()
    assert one.may_send(5.0, waiting=False)
