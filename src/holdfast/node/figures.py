"""What the node knows of its jobs, as figures for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..http.metrics import Figure

if TYPE_CHECKING:
    from ..jobs.controller import JobController


def job_figures(jobs: JobController) -> Iterator[Figure]:
    """Jobs by state, their links to keepers, what they printed and what of it was lost, who watches."""
    infos = jobs.list()
    states = Counter(info.state for info in infos)
    links = Counter(info.link for info in infos if info.state != "done")
    yield Figure("holdfast_jobs", "Jobs by state.", ("state",), [((state,), n) for state, n in sorted(states.items())])
    text = "Links to the keepers of jobs that have not ended, by state."
    yield Figure("holdfast_job_links", text, ("state",), [((state,), n) for state, n in sorted(links.items())])
    totals = {
        "holdfast_job_output_bytes": ("Output of all jobs that the node has received.", "output_bytes"),
        "holdfast_job_gap_bytes": ("Output of all jobs that was lost before it reached the node.", "gap_bytes"),
        "holdfast_job_viewers": ("Open output streams over RPC.", "viewers"),
    }
    for name, (text, field) in totals.items():
        yield Figure(name, text, (), [((), sum(getattr(info, field) for info in infos))])
