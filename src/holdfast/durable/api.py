"""The stream commands: one definition from which the node's dispatch, the clients' stubs and the docs are made.

``path`` is a stream's path, the same as over HTTP below ``/v1/stream/``.  Positions count from 0: bytes of a byte
stream, messages of a JSON stream.  What can be read as a stream without being a free-standing one is read by the same
commands: ``jobs/<job>/output`` and ``channels/<process>/<name>``.
"""

from __future__ import annotations

from typing import Protocol

from ..rpc.commands import Commands
from .model import ProducerMark, StreamAppended, StreamCreated, StreamInfo, StreamStart, Where


class StreamsApi(Protocol):
    """What can be done with durable streams."""

    async def create(
        self,
        path: str,
        data: bytes = b"",
        content_type: str = "",
        ttl_s: int | None = None,
        expires_at_s: float | None = None,
        closed: bool = False,
        fork_of: str = "",
        fork_at: int | None = None,
    ) -> StreamCreated:
        """Make a stream that begins with ``data``, durable on return; one that was made alike is given as it is.

        ``content_type``: the stream's for ever, by default ``application/octet-stream`` or that of the source;
        ``application/json`` makes it a stream of messages.  It ends ``ttl_s`` seconds after its last read or write, or
        at ``expires_at_s`` (Unix time).  ``closed``: ``data`` is all it will ever hold.  ``fork_of``: it begins with
        the content of that stream up to ``fork_at`` (None: its tail; a negative one counts back from there).

        Raises Conflict if it is there and was made otherwise, NotFound for the source of a fork, UsageError for a path,
        position or body that cannot be, and for the first segments ``jobs``, ``channels`` and ``__ds``, LimitExceeded.
        """
        ...

    async def info(self, path: str) -> StreamInfo:
        """The stream as it stands; not counted as a use of it.  NotFound; Gone once deleted under its forks."""
        ...

    async def list(self, prefix: str = "", after: str = "") -> list[StreamInfo]:
        """The free-standing streams the caller may read whose path starts with ``prefix``, by path.

        The first so many after the path ``after``: ``streams_page_max`` come at once.  An empty answer says that there
        are no more.
        """
        ...

    async def append(
        self,
        path: str,
        data: bytes = b"",
        content_type: str = "",
        close: bool = False,
        sequence: str = "",
        producer: ProducerMark | None = None,
    ) -> StreamAppended:
        """Append, close, or both in one step; all or nothing, durable on return.

        To a JSON stream: one JSON value, or an array, each element of which is a message.  ``content_type`` has to be
        the stream's own; empty: it is.  ``sequence``: the writers' own order, which must grow from append to append.
        With a ``producer`` it is safe to repeat: what is there already counts as appended.

        Raises NotFound, Gone, ClosedError, Conflict (content type, sequence), Fenced(epoch), SequenceGap, UsageError,
        StorageError.  Closing what is closed changes nothing.
        """
        ...

    async def append_stream(
        self,
        path: str,
        stream: int,
        size_bytes: int,
        content_type: str = "",
        close: bool = False,
        sequence: str = "",
        producer: ProducerMark | None = None,
    ) -> StreamAppended:
        """:meth:`append` for what is too large for one request: ``size_bytes`` come on the caller's ``stream``.

        LimitExceeded for more than ``stream_append_bytes_max``; UsageError if the stream ends early.
        """
        ...

    async def read(
        self, path: str, stream: int, position: Where = "start", follow: bool = False, id: str = ""
    ) -> StreamStart:
        """Open the durable stream as stream number ``stream`` of this connection, which the caller chose.

        ``position``: where to begin; ``start`` is the oldest kept one, ``now`` the tail, a negative one counts back
        from the tail.  A byte stream comes as it is, at its own offsets.  Of a JSON stream each message comes as one
        line, with line breaks inside of it as spaces, at offsets from 0: who resumes asks for the position after the
        last whole line.

        It ends with EOF at what is there now or, with ``follow``, after the last byte of a closed stream.  It fails
        with a text that ``rpc.failures.decode_failure`` turns into NotFound or Gone (removed), or Gone(oldest).  The
        stream begins when the caller acknowledges its start.

        Raises NotFound, Gone(oldest), UsageError beyond the tail, LimitExceeded(name="stream_readers_max"),
        StreamReplaced if ``id`` is given and the stream of this path is another one.
        """
        ...

    async def remove(self, path: str) -> None:
        """Remove the stream, durable on return; its readers get NotFound.  Under forks its path stays taken."""
        ...


COMMANDS = Commands("streams", StreamsApi)
