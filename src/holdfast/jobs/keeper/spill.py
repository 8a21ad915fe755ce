"""The keeper's output buffer: a ring in memory whose oldest bytes go to disk when it is full.

Offsets run ``head <= spilled end <= total``: what is spilled is always older than what is in the ring, so a
byte moves at most once and a reader that has fallen behind reads files first, then memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...errors import UsageError
from ...streams.ring import RingBuffer
from .segments import CHANGE_BYTES, CHANGES_MAX, Files, RealFiles, Segment, pack_change, run_at, unpack_changes

Payload = bytes | bytearray | memoryview

MOVE_BYTES = 256 * 1024
"""Spilling moves at least this much at a time where there is as much: one write instead of many."""
SEGMENTS_MIN = 4
"""The cap is cut into at least this many files, so that freeing one never frees everything."""


class SpillBuffer:
    """A :class:`holdfast.streams.ring.Buffer` over memory and disk.

    ``ring_bytes``: in memory.  ``spill_bytes_max``: on disk at most; at that cap, or when the disk refuses, a
    write is refused (``drop_oldest`` False) or the oldest bytes go: ``head`` moves on and ``dropped`` counts
    them.  ``on_trouble`` is told, in words, each time the disk refuses anew.  Blocks only as files do.
    """

    def __init__(
        self,
        directory: str,
        *,
        ring_bytes: int,
        spill_bytes_max: int,
        segment_bytes: int,
        drop_oldest: bool = False,
        files: Files | None = None,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.head = 0
        self.dropped = 0
        """Bytes lost to the drop-oldest policy."""
        self.spilled_bytes = 0
        """Bytes on disk now."""
        self.drop_oldest = drop_oldest
        self._directory = directory
        self._ring = RingBuffer(ring_bytes)
        self.ring_bytes = ring_bytes
        self._spill_bytes_max = spill_bytes_max
        self._segment_bytes = max(1, min(segment_bytes, spill_bytes_max // SEGMENTS_MIN))
        self._files: Files = RealFiles() if files is None else files
        self._on_trouble = on_trouble
        self._segments: deque[Segment] = deque()
        self._writer_fd = -1
        self._tags_fd = -1
        self._reader: tuple[Segment, int, list[int]] | None = None
        self._refused = False
        self._last_tag = 0
        self._changes = 0

    @property
    def total(self) -> int:
        """Offset after the last byte written."""
        return self._ring.total

    @property
    def size(self) -> int:
        """Bytes kept, in memory and on disk."""
        return self._ring.total - self.head

    @property
    def ring_room(self) -> int:
        """Bytes that fit before anything must be spilled."""
        return self._ring.room

    @property
    def full(self) -> bool:
        """Whether a write would be refused now."""
        if self.drop_oldest or not self._ring.size or (self._ring.room > 0 and self._changes < CHANGES_MAX):
            return False
        return self._refused or self.spilled_bytes >= self._spill_bytes_max

    def write_available(self, data: Payload, tag: int = 0) -> int:
        """Keep ``data``, or its front as far as there is room; how many bytes were taken."""
        if tag != self._last_tag and not self._begin_run(tag):
            return 0
        size = len(data)
        taken = self._ring.write_available(data, tag)
        while taken < size and self._make_room(size - taken):
            taken += self._ring.write_available(memoryview(data)[taken:], tag)
        return taken

    def peek(self, offset: int, size: int) -> tuple[Payload, int]:
        """Up to ``size`` bytes from ``offset`` (``head`` to ``total``), all of one tag, and the tag.

        Raises OSError if a spill file cannot be read.
        """
        if not self.head <= offset <= self.total:
            raise UsageError(f"offset: {offset} is not kept ({self.head} to {self.total})", field="offset")
        if offset >= self._ring.head:
            return self._ring.peek(offset, size)
        segment = self._segment_at(offset)
        try:
            return self._read(segment, offset - segment.start, size)
        except OSError:
            segment.unreadable = True
            raise

    def consume(self, offset: int) -> None:
        """Forget every byte below ``offset``, and the files that held nothing else."""
        if offset <= self.head:
            return
        if offset > self.total:
            raise UsageError(f"offset: {offset} is beyond the end {self.total}", field="offset")
        self.head = offset
        while self._segments and self._segments[0].end <= offset:
            self._remove_oldest()
        if not self._segments:
            self._ring.consume(offset)

    def give_up_unreadable(self) -> bool:
        """Drop the oldest files if reading them has failed, so that what comes after can be had; whether any were."""
        before = self.dropped
        while self._segments and self._segments[0].unreadable:
            self.give_up_oldest()
        return self.dropped > before

    def give_up_oldest(self) -> None:
        """Drop the oldest file: its bytes are lost, as a gap, and counted in ``dropped``."""
        if self._segments:
            end = self._segments[0].end
            self.dropped += end - self.head
            self.consume(end)

    def retry(self) -> None:
        """Try the disk again at the next write, after it had refused."""
        self._refused = False

    def flush(self) -> bool:
        """Move all of the ring to disk, whatever the cap; whether that went well."""
        self._refused = False
        while self._ring.size:
            if not self._spill(self._ring.size, self._segment_bytes):
                return False
        return True

    def close(self) -> None:
        """Close the files; they stay."""
        self._close_writer()
        self._close_reader()

    def remove(self) -> None:
        """Remove the files."""
        while self._segments:
            self._remove_oldest()

    # making room

    def _begin_run(self, tag: int) -> bool:
        """Note a change of tag; False if the ring must first be rid of some."""
        if not self._ring.size:
            self._changes = 0
        elif self._changes >= CHANGES_MAX and not self._make_room(1):
            return False
        self._last_tag = tag
        self._changes += 1
        return True

    def _make_room(self, wanted: int) -> bool:
        """Room for at least one byte in the ring, by spilling or dropping; False if neither may be."""
        while True:
            if not self._refused:
                room = self._spill_bytes_max - self.spilled_bytes
                if room > 0 and self._spill(max(wanted, MOVE_BYTES), room):
                    return True
            if not self.drop_oldest:
                return False
            if not self._segments:
                self._drop_from_ring(wanted)
                return True
            self.give_up_oldest()

    def _drop_from_ring(self, wanted: int) -> None:
        size = min(wanted, self._ring.size)
        self.dropped += size
        self.consume(self.head + size)
        self._changes = max(0, self._changes - 1)

    def _spill(self, wanted: int, room: int) -> bool:
        """Move up to ``wanted`` of the ring's oldest bytes into the newest segment; whether any were moved."""
        try:
            segment = self._segment_with_room()
            size = min(wanted, room, self._ring.size, self._segment_bytes - segment.size)
            written = self._append(segment, self._ring.head, size)
        except OSError as error:
            if self._segments and not self._segments[-1].size:
                self._remove_newest()
            self._refused = True
            self._on_trouble(f"spilling to {self._directory} failed: {error.strerror or error}")
            return False
        self._ring.consume(self._ring.head + written)
        if not self._ring.size:
            self._changes = 0
        return written > 0

    def _segment_with_room(self) -> Segment:
        if self._writer_fd >= 0:
            segment = self._segments[-1]
            if segment.size < self._segment_bytes and segment.changes_count < CHANGES_MAX:
                return segment
            self._close_writer()
        segment = Segment(self._directory, self._ring.head)
        self._writer_fd = self._files.create(segment.path)
        self._segments.append(segment)
        return segment

    def _append(self, segment: Segment, offset: int, size: int) -> int:
        """Write ``size`` bytes of the ring from ``offset`` on to ``segment``; the bytes on disk for good."""
        pieces: list[Payload] = []
        gathered = 0
        changes: list[int] = []
        tag = segment.tag
        while gathered < size:
            data, piece_tag = self._ring.peek(offset + gathered, size - gathered)
            if piece_tag != tag:
                tag = piece_tag
                changes.append(segment.size + gathered << 4 | tag)
            pieces.append(data)
            gathered += len(data)
        if changes:
            self._write_changes(segment, changes)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        written = self._files.write(self._writer_fd, data, segment.size)  # type: ignore[arg-type]
        segment.size += written
        self.spilled_bytes += written
        self._keep_changes(segment, changes)
        return written

    def _write_changes(self, segment: Segment, changes: list[int]) -> None:
        """Before the bytes they are about; those past the bytes that get written are overwritten next time."""
        if self._tags_fd < 0:
            self._tags_fd = self._files.create(segment.tags_path)
            segment.has_tags = True
        packed = b"".join(pack_change(change >> 4, change & 15) for change in changes)
        position = segment.changes_count * CHANGE_BYTES
        while packed:
            written = self._files.write(self._tags_fd, packed, position)
            position += written
            packed = packed[written:]

    @staticmethod
    def _keep_changes(segment: Segment, changes: list[int]) -> None:
        assert segment.changes is not None, "only the growing segment is written"
        for change in changes:
            if change >> 4 >= segment.size:
                break
            segment.changes.append(change)
            segment.changes_count += 1
            segment.tag = change & 15

    # files

    def _segment_at(self, offset: int) -> Segment:
        if self._reader is not None:
            segment = self._reader[0]
            if segment.start <= offset < segment.end:
                return segment
        return next(segment for segment in self._segments if offset < segment.end)

    def _read(self, segment: Segment, place: int, size: int) -> tuple[bytes, int]:
        _, fd, changes = self._open(segment)
        tag, end = run_at(changes, place, segment.size)
        data = self._files.read(fd, min(size, end - place), place)
        if not data and size:
            raise OSError(f"{segment.path}: shorter than it was written")
        return data, tag

    def _open(self, segment: Segment) -> tuple[Segment, int, list[int]]:
        if self._reader is not None and self._reader[0] is segment:
            return self._reader
        self._close_reader()
        changes = segment.changes
        if changes is None:
            changes = self._read_changes(segment)
        self._reader = (segment, self._files.open(segment.path), changes)
        return self._reader

    def _read_changes(self, segment: Segment) -> list[int]:
        if not segment.changes_count:
            return []
        fd = self._files.open(segment.tags_path)
        try:
            return unpack_changes(self._files.read(fd, segment.changes_count * CHANGE_BYTES, 0))
        finally:
            self._files.close(fd)

    def _remove_oldest(self) -> None:
        if len(self._segments) == 1:
            self._close_writer()
        self._forget(self._segments.popleft())

    def _remove_newest(self) -> None:
        self._close_writer()
        self._forget(self._segments.pop())

    def _forget(self, segment: Segment) -> None:
        if self._reader is not None and self._reader[0] is segment:
            self._close_reader()
        self._files.remove(segment.path)
        if segment.has_tags:
            self._files.remove(segment.tags_path)
        self.spilled_bytes -= segment.size
        self._refused = False

    def _close_writer(self) -> None:
        if self._segments:
            self._segments[-1].changes = None
        for fd in (self._writer_fd, self._tags_fd):
            if fd >= 0:
                self._files.close(fd)
        self._writer_fd = self._tags_fd = -1

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._files.close(self._reader[1])
            self._reader = None
