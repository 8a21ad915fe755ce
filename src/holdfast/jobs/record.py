"""What the node stores of a job: its public face, its secret, and what is still owed to its keeper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .model import JobInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job, as stored under ``jobs/<id>``."""

    info: JobInfo
    secret: str
    """The job secret in hex; what node and keeper prove to each other.  Leaves the store for the keeper only."""
    released: bool = False
    """The keeper was told that we have everything, or there is none any more."""

    def changed(self, *, released: bool | None = None, **info_fields: Any) -> JobRecord:
        """The same record with ``released`` or fields of ``info`` replaced."""
        return replace(
            self,
            info=replace(self.info, **info_fields),
            released=self.released if released is None else released,
        )


def log_name(job_id: str) -> str:
    """The name of the log that holds a job's output."""
    return f"jobs/{job_id}/output"
