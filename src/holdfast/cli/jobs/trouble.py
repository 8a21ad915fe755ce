"""Telling who watches a job why nothing comes: a job whose output cannot be stored looks like one that is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import NotFound
from ...jobs.api import JobsApi
from ...rpc.commands import command_of
from .screen import say

if TYPE_CHECKING:
    from ...client.jobs.sync import SyncJob
    from ...rpc.blocking.connection import BlockingConnection

LOOK_S = 2.0
"""How often the node is asked how the job is."""


class TroubleNotice:
    """Asks now and then, never waits, and says each trouble once."""

    def __init__(self, connection: BlockingConnection, job: SyncJob) -> None:
        self._connection = connection
        self._job = job
        self._call: int | None = None
        self._look_at = connection.now()
        self._told = ""

    def due_in_s(self) -> float:
        """Seconds until :meth:`turn` has something to do; it has also when an answer came."""
        return max(0.0, self._look_at - self._connection.now())

    def turn(self) -> None:
        """Ask if it is time, tell what came."""
        if self._call is not None:
            try:
                reply = self._connection.take_reply(self._call)
            except NotFound:
                self._call = None  # it was removed: its output tells that, too
                return
            if reply is not None:
                self._call = None
                self._tell(command_of(JobsApi.get).decode(reply.result, reply.attachment).trouble)
        if self.due_in_s() == 0.0:
            self._look_at = self._connection.now() + LOOK_S
            if self._call is None:
                asked = command_of(JobsApi.get).arguments((self._job.id,), {})
                self._call = self._connection.begin_call(asked.name, asked.params, asked.attachment)

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._told:
            say(f"job {self._job.name or self._job.id}: {trouble}")
        elif self._told and not trouble:
            say(f"job {self._job.name or self._job.id}: all is well again")
        self._told = trouble
