from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.errors import (
    ClosedError,
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    NotFound,
    PermissionDenied,
    ProtocolError,
    RateLimited,
    StorageError,
    Unavailable,
    UsageError,
)
from holdfast.records.streaming.breaker import BreakerState, CircuitBreaker
from holdfast.records.streaming.core import StreamCore
from holdfast.records.streaming.options import StreamOptions
from holdfast.records.streaming.policy import Retry

RETRY = Retry(attempts=3, first_s=1.0, last_s=4.0, patience_s=60.0)


@dataclass(frozen=True, slots=True)
class Result:
    index: int
    error: HoldfastError | None = None


def state(breaker: CircuitBreaker) -> BreakerState:
    return breaker.state


def room(core: StreamCore[Any]) -> int:
    return core.room


def make(**options: Any) -> StreamCore[Result]:
    settle = options.pop("settle", lambda error: False)
    return StreamCore(StreamOptions(**options), Result, random=lambda: 1.0, now=0.0, settle=settle)


def started(count: int, **options: Any) -> StreamCore[Result]:
    """A core with so many items, all sent that may be."""
    core = make(**options)
    for number in range(count):
        core.add(b"%d" % number, 0.0)
    connect(core)
    core.to_send(1000, 1 << 20, 0.0)
    return core


def connect(core: StreamCore[Result], now: float = 0.0) -> None:
    assert core.wants_link(now)
    core.opening()
    assert not core.wants_link(now)
    core.opened(now)


def answer(core: StreamCore[Result], *indexes: int, now: float = 0.0, size: int = 1) -> None:
    core.receive([(index, Result(index), size) for index in indexes], now)


def sent(core: StreamCore[Result], now: float = 0.0, items: int = 1000) -> list[int]:
    return core.to_send(items, 1 << 20, now)[0]


def taken(core: StreamCore[Result], now: float = 0.0) -> list[int]:
    return [result.index for result in core.take(now)]


# windows and batches


def test_items_held_are_bounded_until_the_consumer_comes_back() -> None:
    core = make(items_max=3)
    while core.room:
        core.add(b"x", 0.0)
    assert core.taken == 3
    connect(core)
    assert sent(core) == [0, 1, 2]
    answer(core, 0, 1, 2)
    assert core.room == 0
    assert taken(core) == [0, 1, 2]
    assert room(core) == 0, "they are with the consumer"
    assert taken(core) == []
    assert room(core) == 3


def test_bytes_held_are_bounded_but_for_one_item() -> None:
    core = make(bytes_max=100)
    core.add(b"x" * 99, 0.0)
    assert core.room
    core.add(b"x" * 1000, 0.0)
    assert not core.room
    connect(core)
    assert sent(core) == [0, 1]
    answer(core, 0, 1, size=60)
    assert core.backlogged
    assert taken(core) == [0, 1]
    assert core.backlogged
    taken(core)
    assert core.room
    assert not core.backlogged


def test_a_batch_has_at_most_so_many_items_and_bytes_but_one_at_least() -> None:
    core = make()
    for size in (10, 10, 500, 10):
        core.add(b"x" * size, 0.0)
    connect(core)
    assert [core.to_send(10, 100, 0.0)[0] for _ in range(4)] == [[0, 1], [2], [3], []]


def test_no_link_is_wanted_while_there_is_nothing_to_send() -> None:
    core = make()
    assert not core.wants_link(0.0)
    assert core.next_deadline() is None
    core.refuse(UsageError("no item"))
    assert not core.wants_link(0.0)
    core.end()
    assert core.over
    assert [result.error.__class__ for result in core.take(0.0)] == [UsageError]
    core.add(b"x", 0.0)
    assert core.room == 0


def test_an_answer_to_what_is_not_under_way_breaks_the_protocol() -> None:
    core = started(2)
    answer(core, 1)
    for index in (1, 7):
        with pytest.raises(ProtocolError):
            answer(core, index)
        with pytest.raises(ProtocolError):
            core.receive_error(index, NotFound(), 0.0)
        with pytest.raises(ProtocolError):
            core.body(index)
    assert core.body(0) == b"0"


# errors and cuts


def test_without_retry_a_cut_ends_it_with_what_is_answered() -> None:
    core = started(5)
    answer(core, 0, 3)
    cut = DisconnectedError("gone")
    core.cut(cut, 1.0)
    assert core.over
    assert taken(core) == [0, 3], "what waited for its turn is given, still in order"
    assert core.failure is not None
    assert (core.failure.answered, core.failure.taken, core.failure.__cause__) == (2, 5, cut)
    assert core.next_deadline() is None
    assert not core.wants_link(9.0)
    core.cut(cut, 2.0)
    core.fail(StorageError())
    assert core.failure.__cause__ is cut


def test_with_retry_what_was_not_answered_is_sent_again_slowly_at_first() -> None:
    core = started(6, retry=RETRY)
    answer(core, 1)
    core.cut(DisconnectedError(), 10.0)
    assert not core.wants_link(10.5)
    assert core.next_deadline() == 11.0
    connect(core, 11.0)
    assert sent(core) == [0]
    assert sent(core) == []
    answer(core, 0)
    assert sent(core) == [2, 3]
    answer(core, 2, 3)
    assert sent(core) == [4, 5]
    assert core.metrics.retried == 5
    assert taken(core) == [0, 1, 2, 3]


def test_the_item_that_breaks_streams_is_found_and_fails_alone() -> None:
    core = started(3, retry=RETRY)
    error = DisconnectedError("broken by it")
    now = 0.0
    for _ in range(3):
        core.cut(error, now)
        now += 5.0
        if core.ready:
            break
        connect(core, now)
        assert sent(core, now) == [0]
    assert core.take(now) == [Result(0, error)]
    connect(core, now)
    assert sent(core, now) == [1]


def test_errors_that_no_repeat_can_help_end_it_with_retry_too() -> None:
    for error in (PermissionDenied(), ProtocolError(), ClosedError(), NotFound()):
        core = started(1, retry=RETRY)
        core.cut(error, 0.0)
        assert core.failure is not None
        assert core.failure.__cause__ is error


def test_patience_ends_when_no_node_is_to_be_had() -> None:
    core = make(retry=RETRY)
    core.add(b"x", 100.0)
    now, dials = 100.0, 0
    while core.failure is None:
        assert core.wants_link(now)
        core.opening()
        core.cut(Unavailable("nobody"), now)
        dials += 1
        now = core.next_deadline() or now
    assert 155.0 <= now <= 160.0
    assert 12 <= dials <= 20


def test_a_transient_error_is_tried_again_later_and_not_for_ever() -> None:
    core = started(2, retry=RETRY)
    core.receive_error(0, RateLimited(retry_after_s=2.0), 0.0)
    answer(core, 1)
    assert taken(core) == []
    assert core.next_deadline() == 3.0
    assert sent(core, 2.9) == []
    assert sent(core, 3.0) == [0]
    core.receive_error(0, RateLimited(), 3.0)
    assert sent(core, 5.0) == [0]
    last = RateLimited()
    core.receive_error(0, last, 5.0)
    assert core.take(5.0) == [Result(0, last), Result(1)]


def test_errors_of_the_item_are_its_result_at_once() -> None:
    core = started(1, retry=RETRY)
    core.receive_error(0, NotFound(), 0.0)
    assert core.metrics.failed == 1
    assert isinstance(core.take(0.0)[0].error, NotFound)


def test_a_repeated_item_that_finds_itself_done_is_done() -> None:
    core = started(2, retry=RETRY, settle=lambda error: isinstance(error, NotFound))
    core.receive_error(0, NotFound(), 0.0)
    core.cut(DisconnectedError(), 0.0)
    connect(core, 5.0)
    assert sent(core, 5.0) == [1]
    core.receive_error(1, NotFound(), 5.0)
    first, second = core.take(5.0)
    assert (isinstance(first.error, NotFound), second.error) == (True, None)


# time


def test_a_deadline_is_for_all_of_it() -> None:
    core = started(2, deadline_s=5.0)
    assert core.next_deadline() == 5.0
    core.handle_timer(4.9)
    assert not core.over
    core.handle_timer(5.0)
    assert core.failure is not None
    assert isinstance(core.failure.__cause__, DeadlineExceeded)
    core.handle_timer(6.0)


def test_a_silent_node_counts_as_cut() -> None:
    core = started(2, retry=RETRY, answer_s=10.0)
    answer(core, 0, now=8.0)
    assert core.next_deadline() == 18.0
    core.handle_timer(18.0)
    assert not core.is_open
    assert core.failure is None
    assert core.metrics.cuts == 1


def test_a_consumer_that_takes_its_time_is_no_silent_node() -> None:
    core = started(2, answer_s=10.0, bytes_max=10)
    answer(core, 0, size=20)
    assert core.backlogged
    assert core.next_deadline() is None
    core.handle_timer(1000.0)
    core.take(1000.0)
    core.take(1000.0)
    core.handle_timer(1000.0)
    assert core.failure is None
    assert core.next_deadline() == 1010.0


# the breaker


def test_an_open_breaker_fails_items_at_once_without_retry() -> None:
    breaker = CircuitBreaker(failures=1, open_s=5.0)
    core = started(1, breaker=breaker)
    core.receive_error(0, StorageError(), 0.0)
    core.add(b"x", 1.0)
    assert sent(core, 1.0) == []
    core.handle_timer(1.0)
    errors = [result.error for result in core.take(1.0)]
    assert [type(error) for error in errors] == [StorageError, Unavailable]
    assert isinstance(errors[1], Unavailable)
    assert errors[1].retry_after_s == 4.0


def test_with_retry_items_wait_for_the_breaker_and_one_goes_ahead() -> None:
    breaker = CircuitBreaker(failures=1, open_s=5.0)
    core = started(3, breaker=breaker, retry=RETRY)
    core.cut(DisconnectedError(), 0.0)
    assert not core.wants_link(1.0)
    assert core.next_deadline() == 5.0
    connect(core, 5.0)
    assert sent(core, 5.0) == [0]
    assert state(breaker) is BreakerState.HALF_OPEN
    answer(core, 0, now=5.0)
    assert state(breaker) is BreakerState.CLOSED
    assert sent(core, 5.0) == [1, 2]


def test_whoever_waits_for_another_streams_probe_looks_again() -> None:
    breaker = CircuitBreaker(failures=1, open_s=4.0)
    core = make(breaker=breaker, retry=RETRY)
    breaker.failed(object(), 0.0)
    assert breaker.try_pass(object(), 4.0)
    core.add(b"x", 4.0)
    connect(core, 4.0)
    assert sent(core, 4.0) == []
    assert core.next_deadline() == 5.0


def test_patience_ends_while_the_breaker_stays_open() -> None:
    breaker = CircuitBreaker(failures=1, open_s=100.0)
    breaker.failed(object(), 0.0)
    core = make(breaker=breaker, retry=RETRY)
    core.add(b"x", 0.0)
    core.handle_timer(60.0)
    assert core.failure is None
    core.handle_timer(61.0)
    assert core.failure is not None
    assert isinstance(core.failure.__cause__, Unavailable)


# whatever happens, in any order


class AnyOrder(RuleBasedStateMachine):
    """A stream whose shell, node, link and consumer do anything they may."""

    @initialize(ordered=st.booleans(), items_max=st.integers(1, 6), bytes_max=st.integers(20, 200), retry=st.booleans())
    def begin(self, ordered: bool, items_max: int, bytes_max: int, retry: bool) -> None:
        self.now = 0.0
        self.ordered, self.items_max, self.bytes_max = ordered, items_max, bytes_max
        chosen = Retry(attempts=2, first_s=0.5, last_s=0.5, patience_s=1e9) if retry else None
        self.core = make(ordered=ordered, items_max=items_max, bytes_max=bytes_max, retry=chosen, answer_s=1e9)
        self.given: list[int] = []
        self.flying: list[int] = []

    @precondition(lambda self: self.core.room)
    @rule(size=st.integers(0, 100), good=st.booleans())
    def take_in(self, size: int, good: bool) -> None:
        if good:
            self.core.add(b"x" * size, self.now)
        else:
            self.core.refuse(UsageError())

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.core.handle_timer(self.now)

    @precondition(lambda self: self.core.wants_link(self.now))
    @rule(works=st.booleans())
    def dial(self, works: bool) -> None:
        self.core.opening()
        if works:
            self.core.opened(self.now)
        else:
            self.core.cut(Unavailable(), self.now)

    @precondition(lambda self: self.core.is_open)
    @rule(items=st.integers(1, 4))
    def send(self, items: int) -> None:
        indexes, bodies = self.core.to_send(items, 100, self.now)
        assert len(indexes) == len(bodies) <= items
        self.flying += indexes

    @precondition(lambda self: self.core.is_open and self.flying)
    @rule(data=st.data(), size=st.integers(0, 60), how=st.sampled_from(["ok", "ok", "ok", "busy", "missing"]))
    def be_answered(self, data: st.DataObject, size: int, how: str) -> None:
        index = data.draw(st.sampled_from(self.flying))
        self.flying.remove(index)
        if how == "ok":
            answer(self.core, index, now=self.now, size=size)
        else:
            self.core.receive_error(index, RateLimited() if how == "busy" else NotFound(), self.now)

    @precondition(lambda self: self.core.is_open)
    @rule()
    def be_cut(self) -> None:
        self.flying.clear()
        self.core.cut(DisconnectedError(), self.now)

    @rule()
    def consume(self) -> None:
        self.given += taken(self.core, self.now)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "core"):
            return
        core = self.core
        assert len(set(self.given)) == len(self.given)
        if self.ordered:
            assert self.given == sorted(self.given)
            assert core.failure or self.given == list(range(len(self.given)))
        assert core.held <= self.items_max
        assert core.held_bytes <= 3 * self.bytes_max + 160

    def teardown(self) -> None:
        """A node that works brings it to its end."""
        if not hasattr(self, "core"):
            return
        core = self.core
        core.end()
        for _ in range(200):
            self.given += taken(core, self.now)
            if core.over and not core.ready:
                break
            self.now += 1.0
            if core.wants_link(self.now):
                core.opening()
                core.opened(self.now)
            self.flying += core.to_send(4, 100, self.now)[0]
            for index in self.flying:
                answer(core, index, now=self.now, size=10)
            self.flying.clear()
        assert core.over
        assert len(self.given) == core.answered
        assert core.failure is not None or len(self.given) == core.taken


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
