"""Finding a job by what a person typed: its name, its id, or the beginning of its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..errors import NotFound, UsageError
from .job import Job


class JobDirectory:
    """All jobs of a node, by id and by name."""

    def __init__(self) -> None:
        self._by_id: dict[str, Job] = {}
        self._by_name: dict[str, Job] = {}
        self.on_changed: Callable[[Job], None] = lambda _job: None
        """Told of every change of a job that is, or was, in it."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._by_id.values()))

    def add(self, job: Job) -> None:
        """Enter a job; its name must be free."""
        job.on_changed = self._tell
        self._by_id[job.id] = job
        name = job.record.info.name
        if name:
            assert name not in self._by_name, name
            self._by_name[name] = job

    def _tell(self, job: Job) -> None:
        self.on_changed(job)

    def remove(self, job: Job) -> None:
        """Take a job out; its name is free again."""
        del self._by_id[job.id]
        if job.record.info.name:
            del self._by_name[job.record.info.name]

    def get(self, job_id: str) -> Job | None:
        """The job with that id."""
        return self._by_id.get(job_id)

    def holder_of(self, name: str) -> Job | None:
        """The job that has ``name``."""
        return self._by_name.get(name)

    def find(self, text: str) -> Job:
        """The one job ``text`` means: a name first, then an id, then a unique prefix of an id.

        NotFound if there is none, UsageError naming the candidates if there are several.
        """
        job = self._by_name.get(text) or self._by_id.get(text)
        if job is not None:
            return job
        matches = [job for job_id, job in self._by_id.items() if job_id.startswith(text)] if text else []
        if not matches:
            raise NotFound(kind="job", name=text)
        if len(matches) > 1:
            some = ", ".join(sorted(job.id for job in matches)[:4])
            raise UsageError(f"job: {text!r} is the beginning of {len(matches)} ids: {some}", field="job")
        return matches[0]
