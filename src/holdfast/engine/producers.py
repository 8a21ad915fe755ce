"""What a log remembers of those who append with a sequence, so that nothing is appended twice."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import Duplicate, Fenced, LimitExceeded, SequenceGap, UsageError
from .base import Producer


class Producers:
    """The last append of each producer of one log: as stored, and as assigned since."""

    __slots__ = ("_stored", "_unstored")

    def __init__(self, stored: Iterable[Producer] = ()) -> None:
        self._stored = {producer.id: producer for producer in stored}
        self._unstored: dict[str, Producer] = {}

    def __len__(self) -> int:
        return len(self._stored) + len(self._unstored.keys() - self._stored.keys())

    def get(self, name: str) -> Producer | None:
        """The last append assigned to this producer."""
        return self._unstored.get(name) or self._stored.get(name)

    def stored(self) -> dict[str, Producer]:
        """The last stored append of each, by the producer's id; a copy."""
        return self._stored.copy()

    def assign(self, producer: Producer) -> None:
        """Its append has its place."""
        self._unstored[producer.id] = producer

    def store(self, producer: Producer) -> None:
        """Its append is stored."""
        self._stored[producer.id] = producer
        if self._unstored.get(producer.id) is producer:
            del self._unstored[producer.id]

    def fall_back(self) -> None:
        """What is not stored will not be."""
        self._unstored.clear()


def repetition(known: Producer | None, producer: Producer, tail: int) -> Duplicate | None:
    """Duplicate if ``producer``'s append was taken before.  Fenced if another one took its place."""
    if known is None or producer.epoch > known.epoch:
        return None
    if producer.epoch < known.epoch:
        raise Fenced(epoch=known.epoch)
    return Duplicate(sequence=known.sequence, position=tail) if producer.sequence <= known.sequence else None


def check_next(known: Producer | None, producer: Producer) -> None:
    """SequenceGap or UsageError if ``producer``'s append, which is no repetition, is not its next one."""
    if known is not None and producer.epoch == known.epoch:
        if producer.sequence != known.sequence + 1:
            raise SequenceGap(expected=known.sequence + 1, received=producer.sequence)
    elif producer.sequence:
        raise UsageError(
            f"producer.sequence: {producer.sequence} in place of 0, with which producer {producer.id!r} has to begin "
            f"epoch {producer.epoch}",
            field="producer.sequence",
        )


def check_room(producers: Producers, limit: int) -> None:
    """LimitExceeded if the log can remember no other producer."""
    if len(producers) >= limit:
        raise LimitExceeded(name="log_producers_max", limit=limit, value=len(producers) + 1)
