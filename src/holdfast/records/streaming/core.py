"""Items to a store and their answers back: each answered exactly once, in order if asked for, with bounded memory.

The core holds the items; the shell carries them.  It adds inputs while there is :attr:`StreamCore.room`, opens a
stream to the node when :meth:`StreamCore.wants_link`, sends what :meth:`StreamCore.to_send` gives, hands in what comes
back, and gives the consumer what :meth:`StreamCore.take` gives, until :attr:`StreamCore.over`.

What an item's body and answer are is not the core's business: bodies are bytes, answers are results already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from ...errors import (
    ClosedError,
    DeadlineExceeded,
    HoldfastError,
    ProtocolError,
    RecordStreamError,
    Unavailable,
)
from .gate import Gate
from .link import Link
from .metrics import StreamMetrics
from .options import StreamOptions
from .policy import Retry, transient, unwell
from .release import Release
from .waiting import Waiting

R = TypeVar("R")


class StreamCore(Generic[R]):
    """One stream of items.  ``failed(index, error)`` makes the result of an item that has an error.

    ``settle(error)`` is asked when an item that may have been done before the link was cut is answered with an error:
    True takes that as success, for which ``failed(index, None)`` makes the result.
    """

    def __init__(
        self,
        options: StreamOptions,
        failed: Callable[[int, HoldfastError | None], R],
        *,
        random: Callable[[], float],
        now: float,
        metrics: StreamMetrics | None = None,
        settle: Callable[[HoldfastError], bool] = lambda _error: False,
    ) -> None:
        self.metrics = metrics if metrics is not None else StreamMetrics()
        self.failure: RecordStreamError | None = None
        """Why the stream is over before all was answered."""
        self.taken = 0
        """Items added; the next one's index."""
        self.answered = 0
        self._options = options
        self._failed = failed
        self._random = random
        self._settle = settle
        self._began = now
        self._deadline = None if options.deadline_s is None else now + options.deadline_s
        self._ended = False
        self._bodies: dict[int, bytes] = {}
        """Of items not answered yet."""
        self._waiting = Waiting()
        """Items to be sent."""
        self._flying: dict[int, None] = {}
        """Items sent on the open stream and not answered, in the order they were sent."""
        self._tries: dict[int, int] = {}
        """How often an item has failed that will be tried again."""
        self._doubtful: set[int] = set()
        """Items that may have been done and are asked for again: under way when the link was cut, or postponed."""
        self._body_bytes = 0
        self._release: Release[R] = Release(ordered=options.ordered, bytes_max=options.bytes_max)
        self._link = Link(options.items_max, now)
        self._moved_at = now
        """When the last answer came, or there began to be something to be answered."""
        self._gate = Gate(options.breaker)

    # the input

    @property
    def room(self) -> int:
        """How many more items may be added now, should each be small; after one that is large, ask again."""
        if self._ended or self.failure is not None or self.held_bytes >= self._options.bytes_max:
            return 0
        return max(0, self._options.items_max - self.held)

    @property
    def held(self) -> int:
        """Items added whose results the consumer has not used up."""
        return self.taken - self._release.consumed

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies and answers that are here."""
        return self._body_bytes + self._release.bytes

    def add(self, body: bytes, now: float) -> int:
        """Take an item; its index.  Only while there is :attr:`room`."""
        index = self._next_index()
        if not self._bodies:
            self._moved_at = now
        self._bodies[index] = body
        self._body_bytes += len(body)
        self._waiting.queue.append(index)
        return index

    def refuse(self, error: HoldfastError) -> int:
        """Take an input that cannot be sent: ``error`` is its result; its index."""
        index = self._next_index()
        self.metrics.refused += 1
        self._give(index, error)
        return index

    def end(self) -> None:
        """There are no more items.  Idempotent."""
        self._ended = True

    def fail(self, error: HoldfastError) -> None:
        """End the stream now, with what is answered; idempotent."""
        if self.failure is not None or self.over:
            return
        self.failure = RecordStreamError(
            f"{error} ({self.answered} of {self.taken} items taken were answered)", self.answered, self.taken
        )
        self.failure.__cause__ = error
        self._release.flush()
        self._close_link()
        self._bodies.clear()
        self._waiting.clear()
        self._body_bytes = 0

    # the link

    @property
    def is_open(self) -> bool:
        """There is a stream to the node."""
        return self._link.is_open

    def wants_link(self, now: float) -> bool:
        """Whether a stream to the node is to be opened now; then say :meth:`opening`."""
        if self.failure is not None or not self._link.may_open(now):
            return False
        self._waiting.wake(now)
        return bool(self._waiting.queue) and self._gate.may_try(now)

    def opening(self) -> None:
        """It is being opened: :meth:`opened` or :meth:`cut` comes."""
        self._link.opening = True

    def opened(self, now: float) -> None:
        """A stream to the node is open."""
        self._link.opened(now)
        self.metrics.opened += 1

    def cut(self, error: HoldfastError, now: float) -> None:
        """The stream to the node broke, or could not be opened.

        With ``retry`` it is opened again and what was not answered is sent again, in its order; first one item, then
        with each answer one more, so that an item which breaks streams is found: after ``attempts`` that is its result.
        """
        link = self._link
        if self.failure is not None or not (link.is_open or link.opening):
            return
        self.metrics.cuts += 1
        self._gate.met(error, now)
        suspect = next(iter(self._flying), None) if link.is_open and not link.answers else None
        under_way = len(self._flying)
        self._close_link()
        retry = self._options.retry
        if retry is None or not (transient(error) or unwell(error)):
            self.fail(error)
            return
        self.metrics.retried += under_way
        cuts_in_a_row = link.broke()
        if suspect is not None:
            self._blame(suspect, error, retry)
        link.open_at = now + retry.delay_s(cuts_in_a_row, self._random, error)
        if self._bodies and link.open_at - self._moved_at > retry.patience_s:
            self.fail(error)

    def to_send(self, items_max: int, bytes_max: int, now: float) -> tuple[list[int], list[bytes]]:
        """Indexes and bodies to be sent now, at most so many; at least one, if there is any, however large it is."""
        indexes: list[int] = []
        chosen: list[bytes] = []
        if not self._link.is_open:
            return indexes, chosen
        self._waiting.wake(now)
        self.metrics.holds(self.held, self.held_bytes)
        queue, flying, bodies = self._waiting.queue, self._flying, self._bodies
        count = min(items_max, self._link.allowance - len(flying), len(queue))
        size = 0
        while len(indexes) < count:
            index = queue[0]
            body = bodies[index]
            size += len(body)
            if (indexes and size > bytes_max) or not self._gate.may_send(now, waiting=bool(flying)):
                break
            queue.popleft()
            flying[index] = None
            indexes.append(index)
            chosen.append(body)
        self.metrics.sent_bytes += sum(map(len, chosen))
        self.metrics.in_flight = len(flying)
        return indexes, chosen

    def body(self, index: int) -> bytes:
        """The body of an item that is under way.  ProtocolError if it is not."""
        if index not in self._flying:
            raise _not_under_way(index)
        return self._bodies[index]

    @property
    def backlogged(self) -> bool:
        """The consumer has as much before it as may be held: read no answers until it has taken some."""
        return self._release.ready_bytes >= self._options.bytes_max

    def receive(self, answers: Iterable[tuple[int, R, int]], now: float) -> None:
        """Answers came: index, result and the size of its body.

        ProtocolError, and nothing after it was taken, for an index that is not under way.
        """
        flying, metrics, offer = self._flying, self.metrics, self._release.offer
        count = 0
        for index, result, size in answers:
            if index not in flying:
                raise _not_under_way(index)
            del flying[index]
            count += 1
            metrics.received_bytes += size
            if offer(index, result, size):
                self._forget(index)
            else:
                metrics.postponed += 1
                self._doubtful.add(index)
                self._release.postpone(index)
        if count:
            self._progressed(count, now)

    def receive_error(self, index: int, error: HoldfastError, now: float) -> None:
        """An item was answered with an error: that is its result, or it is tried again.  Raises as :meth:`receive`."""
        if index not in self._flying:
            raise _not_under_way(index)
        del self._flying[index]
        retry = self._options.retry
        tried = self._tries.get(index, 0) + 1
        self._gate.met(error, now)
        self._progressed(1, now, well=not unwell(error))
        if retry is not None and transient(error) and tried < retry.attempts:
            self._tries[index] = tried
            self.metrics.retried += 1
            self._waiting.later(index, now + retry.delay_s(tried, self._random, error))
        elif index in self._doubtful and self._settle(error):
            self._give(index, None)
        else:
            self._give(index, error)

    # the output

    def take(self, now: float) -> list[R]:
        """Results for the consumer, which has used up those given before."""
        if self.backlogged:
            self._moved_at = now  # that no answer was read was not the node's doing
        results = self._release.take()
        self.metrics.held = self.held
        return results

    @property
    def ready(self) -> bool:
        """:meth:`take` has something."""
        return self._release.ready

    @property
    def complete(self) -> bool:
        """Every item has its result, and no more will come."""
        return self._ended and self.answered == self.taken

    @property
    def over(self) -> bool:
        """Nothing more is to be sent or received; results may still be to be taken."""
        return self.failure is not None or self.complete

    # time

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` is to be called; None: when something else has happened."""
        if self.over:
            return None
        known = (self._deadline, self._answers_due_at(), self._waiting.next_moment)
        moments = [moment for moment in known if moment is not None]
        if self._waiting.queue and not self._link.opening:
            moments += self._sending_moments()
        return min(moments, default=None)

    def _sending_moments(self) -> list[float]:
        """What keeps waiting items from being sent that will be over at a known time."""
        closes_at, link = self._gate.closes_at, self._link
        if closes_at is None and link.is_open:
            return [] if self._gate.look_again_at is None else [self._gate.look_again_at]
        return [max(closes_at or 0.0, 0.0 if link.is_open else link.open_at)]

    def handle_timer(self, now: float) -> None:
        """Do what time has brought.  Called when something has happened too, for a breaker may have opened."""
        if self.over:
            return
        if self._deadline is not None and now >= self._deadline:
            self.fail(DeadlineExceeded(phase="stream", after_s=self._options.deadline_s or 0.0))
            return
        self._waiting.wake(now)
        due = self._answers_due_at()
        if due is not None and now >= due:
            self.cut(DeadlineExceeded(phase="answer", after_s=self._options.answer_s), now)
            return
        self._give_up(now)

    # inside

    def _next_index(self) -> int:
        index = self.taken
        self.taken += 1
        self.metrics.taken += 1
        return index

    def _give(self, index: int, error: HoldfastError | None) -> None:
        """The item's result is made here, not by the node."""
        if error is not None:
            self.metrics.failed += 1
        self._release.offer(index, self._failed(index, error), 0)
        self._forget(index)
        self._ask_again()

    def _ask_again(self) -> None:
        """Items whose answers had to be postponed, and now have room."""
        self._waiting.again(self._release.asked_again())

    def _forget(self, index: int) -> None:
        """The item has its result."""
        self.answered += 1
        metrics = self.metrics
        metrics.answered += 1
        body = self._bodies.pop(index, None)
        if body is not None:
            self._body_bytes -= len(body)
            metrics.done_bytes += len(body)
        if self._tries:
            self._tries.pop(index, None)
        if self._doubtful:
            self._doubtful.discard(index)

    def _progressed(self, count: int, now: float, *, well: bool = True) -> None:
        self._moved_at = now
        self._link.answered(count)
        if well:
            self._gate.answered()
        self._ask_again()
        self.metrics.in_flight = len(self._flying)

    def _close_link(self) -> None:
        """What was under way waits again, before all else and in its order."""
        self._link.close()
        self._gate.leave()
        self._doubtful.update(self._flying)
        self._waiting.again(self._flying)
        self._flying.clear()
        self.metrics.in_flight = 0

    def _blame(self, index: int, error: HoldfastError, retry: Retry) -> None:
        """The stream broke with ``index`` the next to be answered."""
        tried = self._tries[index] = self._tries.get(index, 0) + 1
        if tried >= retry.attempts:
            self._waiting.queue.remove(index)
            self._give(index, error)

    def _answers_due_at(self) -> float | None:
        if not self._flying or self.backlogged:
            return None
        return max(self._moved_at, self._link.opened_at) + self._options.answer_s

    def _give_up(self, now: float) -> None:
        """What an open breaker keeps from being sent fails at once without ``retry``, with it after its patience."""
        closes_at, retry = self._gate.closes_at, self._options.retry
        if closes_at is None or now >= closes_at or not self._waiting.queue:
            return
        error = Unavailable("the circuit breaker is open: the node has only failed", retry_after_s=closes_at - now)
        if retry is None:
            for index in self._waiting.take_all():
                self._give(index, error)
        elif now - self._moved_at > retry.patience_s:
            self.fail(error)

    def close(self) -> None:
        """The consumer has gone: nothing more is sent, received or given."""
        self.fail(ClosedError("the stream of results was closed"))
        self._gate.leave()


def _not_under_way(index: int) -> ProtocolError:
    return ProtocolError(f"an answer to item {index}, which is not under way", reason="answer")
