"""The blocking twin of ``current``."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from ..channels.model import channel_id
from .channels.sync import SyncChannel
from .jobs.spec import job_in
from .sync import SyncNode, connect_sync


class SyncCurrentJob:
    """The job whose command we are; made by :func:`current_job_sync` and used as a context manager.

    Its token reaches the job's own channels, as their executor, and nothing else.
    """

    def __init__(self, job_id: str, node: SyncNode) -> None:
        self.id = job_id
        self.node = node

    def __enter__(self) -> Self:
        self.node.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def channel(self, name: str) -> SyncChannel:
        """The job's channel ``name``, without asking whether it is there."""
        return self.node.channels.channel(channel_id(self.id, name))

    def close(self) -> None:
        """Hang up.  Idempotent."""
        self.node.close()


def current_job_sync(*, reconnect_s: float = 60.0) -> SyncCurrentJob:
    """As :func:`holdfast.current_job`, over blocking sockets."""
    job_id, token = job_in(os.environ)
    return SyncCurrentJob(job_id, connect_sync(token=token, autostart=False, reconnect_s=reconnect_s))
