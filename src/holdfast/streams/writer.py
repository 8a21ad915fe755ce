"""The plain sending end: one stream, one reader, connected from birth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ClosedError, UsageError
from ..limits import LIMITS
from .events import ReaderCancelled
from .ring import RingBuffer
from .sender import OutputSender

if TYPE_CHECKING:
    from collections.abc import Callable

    from .packets import Payload


class Writer(OutputSender):
    """Writes one stream to one reader; a full ring refuses bytes until the reader made room.  Never blocks.

    ``window``: the reader's window in bytes if it is known already; with 0 its first acknowledgement opens the
    stream.  ``ring_bytes``: what may wait here.  ``start_offset``: where the stream begins.  The other arguments
    are those of :class:`OutputSender`.
    """

    __slots__ = ("_cancelled", "_ring")

    def __init__(
        self,
        stream_id: int,
        *,
        window: int = 0,
        ring_bytes: int = LIMITS.ring_bytes,
        window_bytes: int = LIMITS.window_bytes,
        packet_bytes: int = LIMITS.packet_bytes,
        packet_bytes_max: int = LIMITS.packet_bytes_max,
        autotune: bool = True,
        lossy: bool = False,
        start_offset: int = 0,
        now: float = 0.0,
    ) -> None:
        self._ring = RingBuffer(ring_bytes, start_offset=start_offset)
        self._cancelled: str | None = None
        super().__init__(
            self._ring,
            window_bytes=window_bytes,
            packet_bytes=packet_bytes,
            packet_bytes_max=packet_bytes_max,
            autotune=autotune,
            lossy=lossy,
            overwrite_detached=False,
        )
        self.connect(stream_id, window, start_offset, now)

    @property
    def cancelled(self) -> bool:
        """Whether the reader asked for no more."""
        return self._cancelled is not None

    @property
    def cancel_error(self) -> str:
        """Why the reader asked for no more, if it said so."""
        return self._cancelled or ""

    @property
    def room(self) -> int:
        """Bytes a write would take now."""
        return self._ring.room

    def write(self, data: Payload, tag: int = 0) -> int:
        """Take as much of ``data`` as there is room for; how many bytes that was.  Never blocks.

        Raises ClosedError once the reader cancelled, UsageError after :meth:`close`.
        """
        self._check_cancelled()
        return super().write(data, tag)

    def skip(self, length: int) -> bool:
        """Leave out ``length`` bytes as a gap; False, and nothing done, while written bytes are unacknowledged.

        Raises ClosedError once the reader cancelled, UsageError after :meth:`close`.
        """
        self._check_cancelled()
        if self.ended:
            raise UsageError("skip after the end of the stream", field="length")
        if self._ring.size:
            return False
        self._ring.skip(length)
        return True

    def set_waiter(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once, when a write would be taken or will never be again (cancelled).

        One waiter at a time: a second raises UsageError.  Raises ClosedError once the reader cancelled.
        """
        self._check_cancelled()
        self._ring.set_waiter(callback)

    def clear_waiter(self) -> None:
        """Forget the waiter, if there is one."""
        self._ring.clear_waiter()

    def close(self) -> None:
        """No more will be written; the reader sees the end after the last byte.  Idempotent."""
        self.finish()

    def close_with_error(self, text: str) -> None:
        """The source broke; the reader sees ``text`` after the last byte.  ``text`` must not be empty."""
        if not text:
            raise UsageError("text: an error needs a text", field="text")
        self.fail(text)

    def _check_cancelled(self) -> None:
        if self._cancelled is not None:
            raise ClosedError(f"the reader cancelled: {self._cancelled}" if self._cancelled else "the reader cancelled")

    def _on_cancel(self, error: str) -> None:
        self._cancelled = error
        self._events.append(ReaderCancelled(error))
        self.disconnect()
        self._ring.consume(self._ring.total)
