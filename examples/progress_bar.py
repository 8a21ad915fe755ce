"""A job tells how far it is; a progress bar shows it, wherever the job runs and whenever one looks.

The bar begins with what the channel's log says, so it is right at once also for who comes late.
"""

from __future__ import annotations

import asyncio
import sys
import time

from rich.progress import Progress

import holdfast

FILES = 120


def work() -> None:
    """The job: does its files one by one and says so."""
    with holdfast.current_job_sync() as job:
        progress = job.channel("progress")
        for number in range(1, FILES + 1):
            time.sleep(0.005)
            progress.append({"done": number, "total": FILES, "file": f"file-{number}"})
        progress.end()


async def main() -> None:
    """Start the job and draw its bar."""
    async with holdfast.connect() as node:
        job = await node.jobs.start([sys.executable, __file__, "work"], channels=["progress"])
        with Progress() as bar:
            task = bar.add_task("starting", total=None)
            async for entry in job.channel("progress").subscribe():
                if entry.type == "end":
                    break
                step = entry.json()
                bar.update(task, completed=step["done"], total=step["total"], description=step["file"])
            finished = bar.finished
        info = await job.wait()
        await job.remove()
    if not finished or info.exit_code != 0:
        raise SystemExit("the bar did not reach its end")
    print(f"{FILES} of {FILES} done")


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        work()
    else:
        asyncio.run(main())
