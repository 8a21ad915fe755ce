"""One stream of records under a command: items in, results out, a bar, and Ctrl-C at any time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from ...client.records.sync_stream import SyncRecordStream
from ...errors import RecordStreamError
from ..jobs.terminal import SignalPipe
from .input import Item, Place, Source

if TYPE_CHECKING:
    from .bar import Bar


class Indexed(Protocol):
    """A result, which tells whose it is."""

    @property
    def index(self) -> int: ...


R = TypeVar("R", bound=Indexed)
Report = Callable[[Item, R], bool]
"""Print one result; whether it counts as failed."""

_ENDING = (signal.SIGINT, signal.SIGTERM)
_ITEMS_A_TURN = 512


class Outcome(NamedTuple):
    """What a run came to."""

    done: int
    failed: int
    interrupted: int
    """The signal that ended it early; 0: none."""
    failure: RecordStreamError | None
    unanswered: int


class RecordRun(Generic[R]):
    """Runs ``stream`` over ``source``.

    A first Ctrl-C stops the input and waits for the answers that are due; a second leaves at once.
    """

    def __init__(self, stream: SyncRecordStream[R], source: Source, report: Report[R], bar: Bar) -> None:
        self._stream = stream
        self._source = source
        self._report = report
        self._bar = bar
        self._items: dict[int, Item] = {}
        """Taken and not answered, by index."""
        self._added = 0
        self._done = 0
        self._failed = 0
        self._stopped_by = 0

    def run(self) -> Outcome:
        """To the end; what came of it.  Blocks."""
        try:
            with SignalPipe(*_ENDING) as signals, self._bar:
                while not (self._stream.over and not self._stream.ready):
                    if self._turn(signals):
                        break
                    self._tell()
                self._tell()
        finally:
            self._stream.close()
            self._source.close()
        return Outcome(self._done, self._failed, self._stopped_by, self._stream.failure, len(self._items))

    def _turn(self, signals: SignalPipe) -> bool:
        """Do what can be done; whether to leave at once."""
        waits_for = self._feed()
        also = [signals.fileno()] if waits_for < 0 else [signals.fileno(), waits_for]
        timeout_s = 0.0 if self._hungry and waits_for < 0 else self._bar.patience_s()
        ready = self._stream.turn(timeout_s, also)
        if waits_for in ready:
            self._source.fill()
        return signals.fileno() in ready and self._interrupted(signals.take())

    def _interrupted(self, numbers: list[int]) -> bool:
        again = bool(self._stopped_by)
        self._stopped_by = next((number for number in _ENDING if number in numbers), self._stopped_by)
        self._stream.end()
        return again and bool(numbers)

    @property
    def _hungry(self) -> bool:
        return self._stream.room and not self._source.ended and not self._stopped_by

    def _feed(self) -> int:
        """Add what is here; the descriptor to wait for if there could be more, else -1."""
        left = _ITEMS_A_TURN
        while left and self._hungry:
            item = self._source.next_item()
            if item is not None:
                self._add(item)
                left -= 1
            elif not self._source.ended:
                if self._source.descriptor >= 0:
                    return self._source.descriptor
                self._source.fill()
        if self._source.ended:
            self._stream.end()
        return -1

    def _add(self, item: Item) -> None:
        self._items[self._added] = item
        self._added += 1
        if item.error is not None:
            self._stream.refuse(item.error)
        else:
            self._stream.add(item.value)

    def _tell(self) -> None:
        place: Place | None = None
        while results := self._stream.take():
            for result in results:
                item = self._items.pop(result.index)
                place = item.place
                self._done += 1
                self._failed += self._report(item, result)
        self._bar.show(self._done, self._failed, 0 if place is None else place.end)
