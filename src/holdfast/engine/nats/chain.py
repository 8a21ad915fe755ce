"""One writer's messages on their way into a stream, each of which says after which one it comes.

A stream takes a message only if the one before it has the sequence that the message names.  So whoever knows the last
sequence knows which each of his next messages will get, may have many on their way at once, may send them again when
he does not know what became of them, and is shut out the moment somebody else writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ..state import Operation


class Message(NamedTuple):
    """A message as it is sent."""

    subject: str
    stamp: str
    """For its header; empty if it is in the data."""
    data: bytes
    rollup: bool = False
    """Whether it takes the place of all earlier ones of its subject."""

    @property
    def size(self) -> int:
        """What it takes in the stream, in bytes, as the server counts."""
        return len(self.subject) + len(self.stamp) + len(self.data) + 96


class Flight:
    """Messages that belong together, the last of which makes them count."""

    __slots__ = ("first", "last", "messages", "number", "operations", "sends", "sent_at", "settle", "size", "undo")

    def __init__(self, first: int, number: int, messages: list[Message]) -> None:
        self.first = first
        self.last = first + len(messages) - 1
        self.number = number
        self.messages = messages
        self.size = messages[0].size if len(messages) == 1 else sum(message.size for message in messages)
        self.operations: list[Operation] = []
        self.settle: Callable[[], None] | None = None
        """Called when it is stored, before its operations are told."""
        self.undo: Callable[[], None] | None = None
        """Called when it is not and will not be as it is."""
        self.sends = 0
        self.sent_at = 0.0


class Chain:
    """What is on its way, in order."""

    def __init__(self, settled: int) -> None:
        """``settled``: the stream's last sequence now."""
        self.settled = settled
        """All up to here is stored."""
        self.flights: deque[Flight] = deque()
        self.size = 0
        """Bytes on their way."""
        self.round = 0
        """Grows when what is on its way is given up or sent again: answers to what was sent before do not count."""

    @property
    def next_sequence(self) -> int:
        """What the next message will get."""
        return self.flights[-1].last + 1 if self.flights else self.settled + 1

    def add(self, flight: Flight) -> None:
        """It is sent now."""
        assert flight.first == self.next_sequence
        self.flights.append(flight)
        self.size += flight.size

    def receive_stored(self, sequence: int) -> list[Flight]:
        """All up to ``sequence`` is stored; gives the flights that are done with it."""
        self.settled = max(self.settled, sequence)
        done = []
        while self.flights and self.flights[0].last <= sequence:
            flight = self.flights.popleft()
            self.size -= flight.size
            done.append(flight)
        return done

    def holding(self, sequence: int) -> Flight | None:
        """The flight one of whose messages has this sequence."""
        for flight in self.flights:
            if flight.first <= sequence <= flight.last:
                return flight
        return None

    def give_up(self) -> list[Flight]:
        """Nothing on its way will be stored, and nothing is on its way any more; gives what was."""
        given_up = list(self.flights)
        self.flights.clear()
        self.size = 0
        self.round += 1
        return given_up

    def resend(self) -> list[tuple[int, Message]]:
        """What has to be sent again, each with its sequence."""
        self.round += 1
        again = []
        for flight in self.flights:
            flight.sends += 1
            for number, message in enumerate(flight.messages):
                if flight.first + number > self.settled:
                    again.append((flight.first + number, message))
        return again
