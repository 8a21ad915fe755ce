"""The job this process runs in, as its own channels show it: the executor's side."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from ..channels.model import channel_id
from .aio import Node, connect
from .channels.aio import Channel
from .jobs.spec import job_in


class CurrentJob:
    """The job whose command we are; made by :func:`current_job` and used as an async context manager.

    Its token reaches the job's own channels, as their executor, and nothing else.
    """

    def __init__(self, job_id: str, node: Node) -> None:
        self.id = job_id
        self.node = node

    async def __aenter__(self) -> Self:
        await self.node.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def channel(self, name: str) -> Channel:
        """The job's channel ``name``, without asking whether it is there."""
        return self.node.channels.channel(channel_id(self.id, name))

    async def close(self) -> None:
        """Hang up.  Idempotent."""
        await self.node.close()


def current_job(*, reconnect_s: float = 60.0) -> CurrentJob:
    """The job that this process was started by, from HOLDFAST_JOB, HOLDFAST_URL and HOLDFAST_TOKEN.

    UsageError outside of a job.  Entering raises as :func:`holdfast.connect` does.
    """
    job_id, token = job_in(os.environ)
    return CurrentJob(job_id, connect(token=token, autostart=False, reconnect_s=reconnect_s))
