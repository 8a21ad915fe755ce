"""A submitter and an executor talk: questions, a new direction half-way, a decision asked for, and a cancel.

The executor is a job.  It counts sheep until it is told to count something else, asks before it goes on, and stops when
it is asked to.  Each control message is in the channel's log with its receipts, so both sides can prove what was asked
and what was done, and a cancel sent before the executor is ready is seen all the same.
"""

from __future__ import annotations

import asyncio
import sys

import holdfast

GOATS = 4
"""How many are enough."""


async def executor() -> None:
    """The job: works in one task, listens in another."""
    async with holdfast.current_job() as job:
        chat = job.channel("chat")
        what = "sheep"
        stopped = asyncio.Event()

        async def listen() -> None:
            nonlocal what
            async for entry in chat.subscribe(mine=False):
                if entry.type == "steer":
                    what = entry.text
                    await chat.applied(entry, f"counting {what} now")
                elif entry.type == "cancel":
                    await chat.applied(entry, "stopped")
                    stopped.set()
                    return

        listening = asyncio.create_task(listen())
        number = 0
        while not stopped.is_set():
            number += 1
            await chat.append(f"{number} {what}")
            if number == 8:
                await chat.ask("may I go on?")
            await asyncio.sleep(0.02)
        await listening
        await chat.end(f"counted to {number}")


async def submitter() -> None:
    """This side: starts the executor, watches, answers, steers, cancels."""
    async with holdfast.connect() as node:
        job = await node.jobs.start([sys.executable, __file__, "executor"], channels=["chat"])
        chat = job.channel("chat")
        counted, receipts = [], []
        async for entry in chat.subscribe(mine=False):
            print(f"{entry.index:4} {entry.type:12} {entry.text} {entry.control.get('state', '')}")
            if entry.type == "data":
                counted.append(entry.text)
            elif entry.type == "needs_input":
                await chat.answer(entry, "yes, but count goats")
                await chat.steer("goats")
            elif entry.type == "receipt":
                receipts.append(entry.control["state"])
            elif entry.type == "end":
                break
            if len([line for line in counted if "goats" in line]) == GOATS and entry.type == "data":
                await chat.cancel("that is enough")
        await job.wait()
        await job.remove()
    if not counted[0].endswith("sheep") or not counted[-1].endswith("goats"):
        raise SystemExit(f"the executor was not steered: {counted}")
    if receipts.count("applied") != 2:
        raise SystemExit(f"not everything was applied: {receipts}")
    print(f"steered and cancelled after {len(counted)} messages; every control message has its receipts")


if __name__ == "__main__":
    asyncio.run(executor() if sys.argv[1:] == ["executor"] else submitter())
