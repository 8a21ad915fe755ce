"""What a job's life means to others, who are not known here: the composition root says who listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class JobObserver(Protocol):
    """Is told of jobs, in order; each call may come again after a crash and then changes nothing.

    ``starting`` and ``removed`` come for jobs with channels only, ``ended`` for every job.
    """

    async def starting(self, job_id: str, channels: Sequence[str], starter: str) -> None:
        """The job is about to start for ``starter``; an error keeps it from starting."""
        ...

    async def ended(self, job_id: str) -> None:
        """Its command has ended and its output is complete."""
        ...

    async def removed(self, job_id: str) -> None:
        """It is to be forgotten, or did not start; an error keeps it from being forgotten."""
        ...


class NoObserver:
    """Nobody listens."""

    async def starting(self, job_id: str, channels: Sequence[str], starter: str) -> None:
        """Nothing."""

    async def ended(self, job_id: str) -> None:
        """Nothing."""

    async def removed(self, job_id: str) -> None:
        """Nothing."""
