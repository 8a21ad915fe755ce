"""A job's output over blocking sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import DeadlineExceeded, DisconnectedError, HoldfastError
from ...jobs.api import JobsApi
from ...limits import LIMITS
from ...rpc.blocking.streams import BlockingReader
from ...rpc.commands import invoke_blocking
from .output import READ_BYTES, OutputChunk, chunk_of

if TYPE_CHECKING:
    from ..sync_link import SyncLink


class SyncOutput:
    """An iterator over a job's output that outlives cut links.  ``offset`` is where the next chunk begins.

    One that is dropped stops watching.
    """

    def __init__(self, link: SyncLink, job_id: str, from_offset: int, *, follow: bool) -> None:
        self._link = link
        self._job_id = job_id
        self._follow = follow
        self._reader: BlockingReader | None = None
        self.offset = from_offset

    def __iter__(self) -> Iterator[OutputChunk]:
        return self

    def __next__(self) -> OutputChunk:
        chunk = self.read()
        if chunk is None:
            raise StopIteration
        return chunk

    def read(self, timeout_s: float | None = None) -> OutputChunk | None:
        """The next chunk, or None at the end.  DeadlineExceeded if none comes within ``timeout_s``."""
        chunk: OutputChunk | None = self._link.again(lambda: self._read_once(timeout_s))
        if chunk is not None:
            self.offset = chunk.end
        return chunk

    def close(self) -> None:
        """Stop watching; the job runs on."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __del__(self) -> None:
        """A loop that was left by ``break`` must not stay a viewer until the link is closed."""
        with suppress(HoldfastError, OSError):
            self.close()

    def _read_once(self, timeout_s: float | None) -> OutputChunk | None:
        reader = self._reader or self._open()
        try:
            item = reader.read(timeout_s, READ_BYTES)
            if item is not None:
                return chunk_of(item)
        except DisconnectedError:
            self._reader = None
            raise
        raise DeadlineExceeded(phase="output", after_s=timeout_s or 0.0, safe_to_retry=True)

    def _open(self) -> BlockingReader:
        connection = self._link.connection()
        reader = connection.open_reader(window_bytes=LIMITS.viewer_window_bytes)
        start = invoke_blocking(connection, JobsApi.output, self._job_id, reader.stream_id, self.offset, self._follow)
        reader.start(start.start_offset)
        self.offset = start.start_offset
        self._reader = reader
        return reader
