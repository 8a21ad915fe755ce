"""One stream under test: its source, sender, reader and application, and all that must be true of them."""

from __future__ import annotations

from bisect import bisect_right

from ...streams import Chunk, End, Failed, Gap, Item, OutputSender, Reader, RingBuffer, Writer
from ..pattern import Pattern
from .plans import StreamPlan

_PATTERN = Pattern(seed=20)


class Subject:
    """One stream of the world: its source, its sender, its reader, and all that must be true of them."""

    def __init__(self, plan: StreamPlan, *, lossy: bool) -> None:
        self.plan = plan
        self.corked = plan.corked and not lossy
        """A lossy link might lose the acknowledgement that opens a corked sender."""
        self.written = 0
        self.offset = 0
        """Where the application is: all below was read, or reported as a gap."""
        self.durable = 0
        self.gap_bytes = 0
        self.end: End | Failed | None = None
        self.cancelled = False
        self.progress: tuple[int | None, int] = (None, 0)
        """The sender's stream id and what was acknowledged on it, as last seen."""
        self.reading = False
        """Whether the application will read by and by."""
        self.committing = 0
        """The connection for which a commit is under way, or 0."""
        self.tag_starts = [0]
        self.tags = [0]
        self.sender = self._new_sender(lossy=lossy)
        ring = self.sender.buffer
        assert isinstance(ring, RingBuffer)
        self.ring = ring
        self.reader = self._new_reader(0)

    @property
    def resolved(self) -> bool:
        """Whether both ends know how it ended."""
        if self.cancelled:
            return not self.sender.connected
        return self.end is not None and self.sender.done

    # what happens

    def write(self, size: int) -> None:
        """The source writes what it can of its next ``size`` bytes."""
        data = _PATTERN.slice(self.written, min(size, self.plan.size - self.written))
        if isinstance(self.sender, Writer) and self.sender.cancelled:
            return
        tag = self.written // 97 % 3
        if tag != self.tags[-1]:
            self.tag_starts.append(self.written)
            self.tags.append(tag)
        self.written += self.sender.write(data, tag)

    def finish(self) -> None:
        """The source comes to its end."""
        if self.plan.error:
            self.sender.fail(self.plan.error)
        else:
            self.sender.finish()

    def connect(self, stream_id: int, now: float) -> None:
        """Both ends go on over a new connection."""
        if self.plan.manual:
            self.reader = self._new_reader(stream_id)
            wanted = self.durable
        else:
            wanted = self.reader.resume(stream_id)
        start = self.sender.connect(stream_id, 0 if self.corked else self.reader.window, wanted, now)
        assert start >= wanted, f"starts at {start}, before the {wanted} it was asked for"
        if self.corked:
            self.reader.start()

    def crash(self) -> None:
        """A manual reader forgets what is not durable."""
        self.reader = self._new_reader(0)

    def read(self, *, everything: bool = False) -> None:
        """The application reads a little."""
        for _ in range(1_000_000 if everything else self.plan.reads):
            if self.plan.cancel_at >= 0 and self.offset >= self.plan.cancel_at and not self.reader.finished:
                self.cancelled = True
                self.reader.close("enough")
                return
            item = self.reader.read(self.plan.read_bytes)
            if item is None:
                break
            self._take(item)

    def commit(self) -> None:
        """The application made durable what it read."""
        self.durable = self.offset
        if not self.cancelled:
            self.reader.acknowledge(self.durable)

    # what must be true

    def check(self) -> None:
        """Safety, after every event."""
        sender, reader, ring, plan = self.sender, self.reader, self.ring, self.plan
        assert ring.head <= ring.total == self.written, "the ring lost count"
        assert ring.size <= plan.capacity, f"the ring holds {ring.size} of {plan.capacity}"
        assert 0 <= sender.acknowledged <= sender.sent <= ring.total, "acknowledged, sent and written are out of order"
        assert min(sender.credit, sender.outstanding, reader.window) >= 0, "credit is negative"
        assert reader.violations == 0, "the sender sent more than it was allowed to"
        assert 0 <= reader.buffered <= reader.window_bytes, "the reader holds more than its window"
        before, self.progress = self.progress, (sender.stream_id, sender.acknowledged)
        assert self.progress[0] != before[0] or self.progress[1] >= before[1], "an acknowledgement was taken back"
        if plan.manual and sender.connected and not self.cancelled:
            assert sender.acknowledged <= self.durable, "acknowledged what is not durable"
        if not self.cancelled:
            assert sender.acknowledged <= max(reader.next_offset, self.offset), "acknowledged what was not received"

    def check_end(self) -> None:
        """What must be true of a stream that has come to its end."""
        if self.cancelled:
            return
        assert self.offset == self.written, f"ended at {self.offset} of {self.written} bytes"
        expected = Failed(self.written, self.plan.error) if self.plan.error else End(self.written)
        assert self.end == expected, f"ended with {self.end}, not {expected}"
        assert not self.ring.size, "the ring still holds what was acknowledged"
        assert self.reader.read() is None, "something came after the end"

    def _take(self, item: Item) -> None:
        assert self.end is None or self.plan.manual, f"{item} after the end"
        assert item.offset == self.offset, f"{type(item).__name__} at {item.offset}, expected at {self.offset}"
        if isinstance(item, Chunk):
            size = len(item.data)
            assert 0 < size <= self.plan.read_bytes, f"a chunk of {size} bytes"
            assert bytes(item.data) == _PATTERN.slice(item.offset, size), f"wrong bytes at {item.offset}"
            self._check_tag(item)
            self.offset += size
        elif isinstance(item, Gap):
            self.gap_bytes += item.length
            assert item.length > 0, "an empty gap"
            assert self.plan.overwrite, f"a gap of {item.length} bytes, though nothing may be dropped"
            assert self.gap_bytes <= self.ring.dropped or self.plan.manual, "more reported lost than was dropped"
            self.offset += item.length
        else:
            self.end = item

    def _check_tag(self, chunk: Chunk) -> None:
        first = bisect_right(self.tag_starts, chunk.offset) - 1
        last = bisect_right(self.tag_starts, chunk.offset + len(chunk.data) - 1) - 1
        assert first == last, "a chunk mixes tags"
        assert self.tags[first] == chunk.tag, f"tag {chunk.tag} at {chunk.offset}, written with {self.tags[first]}"

    def _new_sender(self, *, lossy: bool) -> OutputSender:
        plan = self.plan
        if plan.writer:
            writer = Writer(
                0,
                ring_bytes=plan.capacity,
                window_bytes=plan.first_window,
                packet_bytes=plan.packet,
                autotune=plan.autotune,
                lossy=lossy,
            )
            writer.disconnect()
            return writer
        return OutputSender(
            RingBuffer(plan.capacity),
            window_bytes=plan.first_window,
            packet_bytes=plan.packet,
            autotune=plan.autotune,
            lossy=lossy,
            overwrite_detached=plan.overwrite,
        )

    def _new_reader(self, stream_id: int) -> Reader:
        self.offset = self.durable
        return Reader(stream_id, window_bytes=self.plan.window, start_offset=self.durable, manual_ack=self.plan.manual)
