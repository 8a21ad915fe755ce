"""A job's output as a caller gets it, piece by piece; shared by both clients."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ...errors import DisconnectedError
from ...jobs.model import STDERR
from ...streams import Chunk, End, Failed, Gap, Item

Source = Literal["stdout", "stderr"]

READ_BYTES = 1 << 18
"""Most bytes in one chunk."""


class OutputChunk(NamedTuple):
    """A piece of output.  ``offset`` is absolute; the next piece begins at :attr:`end`.

    A piece with ``gap_bytes`` has no data: that many bytes from ``offset`` on are lost, by policy or retention.
    """

    offset: int
    data: bytes
    source: Source = "stdout"
    """``stdout`` also stands for a terminal, where the two are one."""
    gap_bytes: int = 0

    @property
    def end(self) -> int:
        """The offset after this piece; resume from here."""
        return self.offset + len(self.data) + self.gap_bytes

    def before(self, offset: int) -> OutputChunk:
        """What of this piece comes before ``offset``; it may be nothing."""
        room = max(0, offset - self.offset)
        return self._replace(data=self.data[:room], gap_bytes=min(self.gap_bytes, room))


def chunk_of(item: Item) -> OutputChunk | None:
    """What a stream's reader gave, as a caller sees it; None at the end.

    Raises DisconnectedError for a stream its writer could not go on with: the output itself may be resumed.
    """
    match item:
        case Chunk(offset, data, tag):
            return OutputChunk(offset, bytes(data), "stderr" if tag == STDERR else "stdout")
        case Gap(offset, length):
            return OutputChunk(offset, b"", gap_bytes=length)
        case Failed(offset, error):
            raise DisconnectedError(f"the node could not go on with this output: {error}", resume_offset=offset)
        case End():
            return None
