"""Seeded worlds of record streams: ``python -m holdfast.simulation.records SEED`` runs one and says what went wrong.

After every event: each result comes once, in order where that was asked for, and no more is held than the limits allow.
In the end, once the store is well: every item has its result, or the stream has ended with an error it may end with,
and as many results were given as that error says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import DeadlineExceeded, HoldfastError, NotFound, ProtocolError
from ...records.streaming.breaker import CircuitBreaker
from ...records.streaming.core import StreamCore
from ...records.streaming.options import StreamOptions
from ..seeds import UnsafeError, replay_seed, run_seeds
from ..world import Timer, World
from .plans import RecordPlan, draw_plan
from .server import Answer, FaultyStore, StoreLink

_MODULE = "holdfast.simulation.records"
REST_S_MAX = 3_000.0
"""Virtual seconds within which a world must come to rest after its store is well."""
BATCH_ITEMS = 16
BATCH_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Result:
    """One item's."""

    index: int
    value: str | None
    error: HoldfastError | None


class RecordWorld:
    """One stream of items: input, core, store and consumer."""

    def __init__(self, seed: int, plan: RecordPlan | None = None) -> None:
        self.seed = seed
        self.plan = plan = draw_plan(seed) if plan is None else plan
        self.world = World(seed)
        self.store = FaultyStore(self.world, plan)
        self.results: list[Result] = []
        self.left = False
        breaker = CircuitBreaker(failures=plan.breaker_failures, open_s=0.5) if plan.breaker_failures else None
        options = StreamOptions(
            ordered=plan.ordered, items_max=plan.items_max, bytes_max=plan.bytes_max, retry=plan.retry, breaker=breaker,
            deadline_s=plan.deadline_s, answer_s=plan.answer_s,
        )  # fmt: skip
        self.core: StreamCore[Result] = StreamCore(
            options,
            lambda index, error: Result(index, None, error),
            random=self.world.random.random,
            now=0.0,
            settle=lambda error: plan.kind == "delete" and isinstance(error, NotFound),
        )
        self._link: StoreLink | None = None
        self._timer: Timer | None = None
        self._given: list[Result] = []
        self._consuming = False
        self._input_waits = False
        self._seen: set[int] = set()

    def run(self) -> None:
        """Run it; UnsafeError, naming the command that replays it, if a promise was broken."""
        try:
            self._run()
        except Exception as error:  # whatever broke, say how to see it again
            what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            replay = replay_seed(_MODULE, self.seed)
            raise UnsafeError(f"{what} (at {self.world.now():.6f} s)", replay) from error

    def _run(self) -> None:
        self._input()
        self._turn()
        while not self._at_rest():
            assert self.world.step(), f"nothing moves any more: {self._standing()}"
            assert self.world.now() < self.plan.healed_s + REST_S_MAX, f"no rest: {self._standing()}"
            self._check()
        self._check_end()

    def _at_rest(self) -> bool:
        return self.left or (self.core.over and not self.core.ready and not self._consuming)

    def _standing(self) -> str:
        core = self.core
        return f"{core.answered} of {core.taken} answered, {len(self.results)} given, {core.metrics}"

    # the input

    def _input(self) -> None:
        """Add one, if there is room; then the next."""
        if self.core.over:
            return
        if self.core.taken == len(self.plan.sizes):
            self.core.end()
        elif self.core.room:
            size = self.plan.sizes[self.core.taken]
            if size < 0:
                self.core.refuse(ProtocolError("no record"))
            else:
                self.core.add(f"{self.core.taken}".encode().ljust(size), self.world.now())
            self.world.after(self.world.random.random() * 2 * self.plan.input_s, self._input)
        else:
            self._input_waits = True
        self._turn()

    # the shell: one turn after anything has happened

    def _turn(self) -> None:
        core, now = self.core, self.world.now()
        core.handle_timer(now)
        self._receive(now)
        if core.over or not core.is_open:
            self._drop_link()
        if core.wants_link(now):
            core.opening()
            self._dial()
        link = self._link
        while link is not None and link.room:
            indexes, bodies = core.to_send(min(link.room, BATCH_ITEMS), BATCH_BYTES, now)
            if not indexes:
                break
            link.send(list(zip(indexes, bodies, strict=True)))
        if core.ready and not self._consuming:
            self._consuming = True
            self.world.soon(self._consume)
        self._set_timer()

    def _receive(self, now: float) -> None:
        link, core = self._link, self.core
        while link is not None and link.arrived and not core.backlogged:
            self._take_answer(link.read(), now)

    def _take_answer(self, answer: Answer, now: float) -> None:
        index, value, error, size = answer
        if error is not None:
            self.core.receive_error(index, error, now)
        else:
            self.core.receive([(index, Result(index, value, None), size)], now)

    def _dial(self) -> None:
        link = StoreLink(self.store, self._turn, lambda error: self._lost(link, error))

        def done(error: HoldfastError | None) -> None:
            if error is not None:
                self.core.cut(error, self.world.now())
            elif not self.core.over:
                self._link = link
                self.core.opened(self.world.now())
            self._turn()

        self.store.dial(link, done)

    def _lost(self, link: StoreLink, error: HoldfastError) -> None:
        """Answers that came before it are read first."""
        if link is not self._link:
            return
        if link.arrived and self.core.backlogged:
            self.world.after(0.01, self._lost, link, error)
            return
        self._receive(self.world.now())
        self._drop_link()
        self.core.cut(error, self.world.now())
        self._turn()

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.leave()
            self._link = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        moment = self.core.next_deadline()
        self._timer = None if moment is None else self.world.at(max(moment, self.world.now()), self._turn)

    # the consumer

    def _consume(self) -> None:
        """Use up one result, or take more."""
        if self.left:
            return
        if not self._given:
            self._given = self.core.take(self.world.now())[::-1]
            if self._input_waits and self.core.room:
                self._input_waits = False
                self.world.soon(self._input)
            self._turn()
        if not self._given:
            self._consuming = self.core.ready  # the turn may have brought some
            if self._consuming:
                self.world.soon(self._consume)
            return
        if self.plan.leaves_after is not None and len(self.results) >= self.plan.leaves_after:
            self.left = True
            self.core.close()
            self._turn()
            return
        self.results.append(self._given.pop())
        self.world.after(self.world.random.random() * 2 * self.plan.consume_s, self._consume)

    # what must hold

    def _check(self) -> None:
        core, plan = self.core, self.plan
        if len(self.results) > len(self._seen):
            result = self.results[-1]
            assert result.index not in self._seen, f"item {result.index} was answered twice"
            if plan.ordered and len(self.results) > 1:
                before = self.results[-2].index
                assert result.index == before + 1 or (core.failure and result.index > before), "out of order"
            assert result.value is None or int(result.value) == result.index, f"another item's answer: {result}"
            self._seen.add(result.index)
        assert core.held <= plan.items_max, f"{core.held} items are held"
        largest = max((0, *plan.sizes))
        assert core.held_bytes <= 3 * plan.bytes_max + largest + plan.answer_bytes, f"{core.held_bytes} bytes are held"
        moment = core.next_deadline()
        timer = self._timer
        assert (
            core.over
            or moment is None
            or (timer is not None and timer.callback is not None)
            or self.world.now() >= moment
        )

    def _check_end(self) -> None:
        core = self.core
        if self.left:
            return
        assert len(self.results) == core.answered, f"{len(self.results)} results were given: {self._standing()}"
        if core.failure is None:
            assert core.taken == len(self.plan.sizes)
            assert {r.index for r in self.results} == set(range(core.taken))
        else:
            assert (core.failure.answered, core.failure.taken) == (core.answered, core.taken)
            self._check_failure(core.failure.__cause__)
        for result in self.results:
            self._check_result(result)

    def _check_failure(self, cause: BaseException | None) -> None:
        plan = self.plan
        late = isinstance(cause, DeadlineExceeded) and cause.phase == "stream"
        if late:
            assert plan.deadline_s is not None
            assert self.world.now() >= plan.deadline_s
            return
        assert plan.retry is None or self.world.now() > plan.retry.patience_s, f"gave up too early: {cause!r}"

    def _check_result(self, result: Result) -> None:
        plan, index = self.plan, result.index
        if plan.sizes[index] < 0:
            assert isinstance(result.error, ProtocolError)
        elif self.store.impossible(index) and result.error is None:
            raise AssertionError(f"item {index} cannot have been done")
        elif plan.kind == "delete" and result.error is None:
            assert index in self.store.deleted
        elif plan.kind == "delete" and plan.retry is not None:
            assert not isinstance(result.error, NotFound), f"item {index} was there, and nobody else deletes"


def run_seed(seed: int) -> RecordWorld:
    """The world of ``seed``, after it was run; UnsafeError if a promise was broken."""
    world = RecordWorld(seed)
    world.run()
    return world


def tell(seed: int) -> str:
    """What came of the world of ``seed``."""
    world = run_seed(seed)
    what = "left" if world.left else "failed" if world.core.failure else "complete"
    return f"{what}, {world.world.steps} events, {world.core.metrics}"


def main(arguments: Iterable[str]) -> int:
    """Run the seeds given; 1 if a promise was broken in one of them."""
    return run_seeds(arguments, tell, draw_plan)
