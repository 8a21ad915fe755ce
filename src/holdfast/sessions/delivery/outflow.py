"""The way to an attached client: the stream that carries its messages, and what of them was acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...errors import ClosedError, HoldfastError
from ...rpc.failures import encode_failure
from ...streams import Writer

if TYPE_CHECKING:
    from ...streams import OutputSender


class Wire(Protocol):
    """What is needed of the client's connection."""

    def attach_sender(self, sender: OutputSender, on_moved: Callable[[], None] | None = None) -> None:
        """Send for ``sender``; call ``on_moved`` when something of it was acknowledged, and when it is over."""
        ...

    def sender_ready(self, stream_id: int) -> None:
        """The sender of this stream was written to, or ended."""
        ...


class Carrier(NamedTuple):
    """Where an attaching client wants its messages."""

    wire: Wire
    stream_id: int
    acknowledges: bool = True
    """Whether it says by their count how many it has dealt with; else it is never waited for."""


class Given(NamedTuple):
    """A message of a durable source that the client has not acknowledged."""

    number: int
    """The how-manieth of the attachment it is, from 1."""
    subject: str
    next_position: int
    ended: bool


class Outflow:
    """Messages on their way to one client.  Takes no task, and never waits.

    ``on_room`` is called when there is room again, ``on_cut`` once when the client is gone.
    """

    def __init__(
        self, carrier: Carrier, capacity: int, on_room: Callable[[], None], on_cut: Callable[[], None]
    ) -> None:
        self.given = 0
        """Messages and reports taken so far."""
        self.unacknowledged: deque[Given] = deque()
        self.feed_bytes = 0
        """Where in the stream the newest message of a feed ends."""
        self._wire = carrier.wire
        self._stream_id = carrier.stream_id
        self._acknowledges = carrier.acknowledges
        self._on_room = on_room
        self._on_cut: Callable[[], None] | None = on_cut
        self._writer = Writer(carrier.stream_id, ring_bytes=capacity)
        self._written_bytes = 0
        self._rest: deque[memoryview] = deque()
        """What did not fit: the end of a message, or of a page."""
        self._ended = False

    def start(self) -> None:
        """Begin; what the stream carries waits until its reader has opened it.  ``on_cut`` if there is nobody."""
        try:
            self._wire.attach_sender(self._writer, self._moved)
        except HoldfastError:
            self._leave()

    @property
    def room(self) -> int:
        """Bytes that can be taken now; 0 once the client is gone, or was let go."""
        return 0 if self._rest or self._ended else self._writer.room

    @property
    def feed_in_doubt(self) -> bool:
        """Whether messages of feeds are on their way that the client may not have got."""
        return self.feed_bytes > self._writer.acknowledged

    def write(self, data: bytes, count: int) -> None:
        """Take ``data``, which holds ``count`` messages; what is beyond the room waits, and nothing else is taken."""
        self.given += count
        self._push(memoryview(data))

    def write_feed(self, data: bytes, count: int) -> None:
        """:meth:`write` for messages of feeds."""
        self.write(data, count)
        self.feed_bytes = self._written_bytes + sum(map(len, self._rest))

    def write_durable(self, data: Sequence[bytes], given: Sequence[tuple[str, int, bool]]) -> None:
        """:meth:`write` for messages of a durable source, each with its subject, next position, and if it ended."""
        if self._acknowledges:
            self.unacknowledged.extend(
                Given(number, *place) for number, place in enumerate(given, start=self.given + 1)
            )
        self.write(b"".join(data), len(data))

    def _push(self, data: memoryview) -> None:
        if self._ended:
            return
        try:
            taken = 0 if self._rest else self._writer.write(data)
        except ClosedError:
            self._leave()
            return
        self._written_bytes += taken
        if taken < len(data):
            self._rest.append(data[taken:])
        if taken:
            self._wire.sender_ready(self._stream_id)

    def _moved(self) -> None:
        writer = self._writer
        if writer.stream_id is None or writer.done or writer.cancelled:
            self._leave()
            return
        while self._rest and writer.room:
            data = self._rest.popleft()
            taken = writer.write(data)
            self._written_bytes += taken
            if taken < len(data):
                self._rest.appendleft(data[taken:])
            self._wire.sender_ready(self._stream_id)
        if not self._rest:
            self._on_room()

    def _leave(self) -> None:
        self._ended = True
        on_cut, self._on_cut = self._on_cut, None
        if on_cut is not None:
            on_cut()

    def end(self, error: HoldfastError | None) -> None:
        """Nothing more is given; the client sees the end, or ``error``.  Idempotent."""
        self._on_cut = None
        if self._ended:
            return
        self._ended = True
        self._rest.clear()
        if error is None:
            self._writer.close()
        else:
            self._writer.close_with_error(encode_failure(error))
        self._wire.sender_ready(self._stream_id)

    def forget(self, subjects: Sequence[str]) -> None:
        """What was given of these moves no cursor any more."""
        left = [given for given in self.unacknowledged if given.subject not in subjects]
        self.unacknowledged = deque(left)

    def acknowledge(self, count: int) -> dict[str, tuple[int, bool]]:
        """All up to the ``count``-th message is dealt with; the cursors that moved."""
        moved: dict[str, tuple[int, bool]] = {}
        waiting = self.unacknowledged
        while waiting and waiting[0].number <= count:
            _, subject, next_position, ended = waiting.popleft()
            moved[subject] = (next_position, ended)
        return moved
