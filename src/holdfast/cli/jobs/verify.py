"""``holdfast verify``."""

from __future__ import annotations

import click

from ..common import JOB, format_option, info_as_dict, print_json, reach_node


@click.command()
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, type=JOB)
@format_option("text", "json")
def verify(jobs: tuple[str, ...], form: str) -> None:
    """Prove that the output of ended jobs is whole.

    The node reads the log again and compares its digest with the one that was sealed when the job ended. Exits with 3
    if there is no such job or it was never sealed, 4 while it runs, 6 if output was trimmed away, 125 if it is not what
    was sealed.
    """
    with reach_node() as node:
        for job in jobs:
            sealed = node.records.verify(job)
            if form == "json":
                print_json(info_as_dict(sealed))  # type: ignore[arg-type]
            else:
                gaps = f", {sealed.gap_bytes} bytes of gaps left out" if sealed.gap_bytes else ""
                click.echo(f"{job}: whole, {sealed.size_bytes} bytes{gaps}; sealed as {sealed.record_cid}")
