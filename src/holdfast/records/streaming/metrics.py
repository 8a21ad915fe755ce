"""What a stream has done so far, in figures: for progress bars, metrics and errors."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class StreamMetrics:
    """Counts of one stream, or of several that were given the same object; they only grow, gauges aside."""

    taken: int = 0
    """Items taken from the input."""
    answered: int = 0
    """Items that have their result, whatever it is."""
    failed: int = 0
    """Items whose result is an error."""
    refused: int = 0
    """Of them, those that were never sent: not what an item must be."""
    retried: int = 0
    """Sendings of items again, after a transient error or a cut."""
    opened: int = 0
    """Streams opened to the node; the first counts."""
    cuts: int = 0
    """Streams that broke, or could not be opened."""
    postponed: int = 0
    """Answers there was no room for, which were asked for again."""
    sent_bytes: int = 0
    """Bodies of items sent, repeats included, before compression."""
    done_bytes: int = 0
    """Bodies of items that have their result."""
    received_bytes: int = 0
    """Bodies of answers, after decompression."""
    wire_sent_bytes: int = 0
    """Batches as they were sent: heads included, compressed."""
    wire_received_bytes: int = 0
    """Batches as they came."""
    in_flight: int = 0
    """Gauge: items sent and not answered."""
    held: int = 0
    """Gauge: items taken whose result has not been given to the consumer."""
    held_items_high: int = 0
    """Gauge: the most there were held."""
    held_bytes_high: int = 0
    """Gauge: the most their bodies and answers were together."""

    @property
    def succeeded(self) -> int:
        """Items whose result is no error."""
        return self.answered - self.failed

    def holds(self, items: int, size: int) -> None:
        """So many items are held now, with ``size`` bytes of bodies and answers."""
        self.held = items
        self.held_items_high = max(self.held_items_high, items)
        self.held_bytes_high = max(self.held_bytes_high, size)

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Ticker:
    """Says when progress is to be told: at most every ``every_s`` seconds, and once at the end."""

    __slots__ = ("_every_s", "_next_at")

    def __init__(self, every_s: float, now: float) -> None:
        self._every_s = every_s
        self._next_at = now

    def due(self, now: float, *, last: bool = False) -> bool:
        """Whether to tell it now; ``last``: it is the end."""
        if not last and now < self._next_at:
            return False
        self._next_at = now + self._every_s
        return True
