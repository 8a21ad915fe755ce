"""An answer, token by token, from an agent to whoever watches: nobody misses a token, nobody gets one twice.

The agent is a job; each token is an entry of its channel.  One viewer watches in this process.  A second one, a process
of its own, is killed in the middle and comes back where it was.
"""

from __future__ import annotations

import asyncio
import sys
import time

import holdfast

ANSWER = (
    "A holdfast keeps kelp attached to the rock while the water around it moves. It has no roots to feed it: it only "
    "holds on. When a storm tears at the blades, the holdfast stays, and the blades grow again from there. "
) * 3
PACE_S = 0.005
"""From one token to the next."""
KILL_AFTER = 40
"""Tokens that the second viewer gets before it is killed."""


def agent(pace_s: float = PACE_S) -> None:
    """The job: writes its answer as a language model would, a word at a time."""
    with holdfast.current_job_sync() as job:
        answer = job.channel("tokens")
        for word in ANSWER.split():
            answer.append(word + " ")
            time.sleep(pace_s)
        answer.end()


def view(channel: str, after: int) -> None:
    """A viewer as a process of its own: prints the index of each token, and the token."""
    with holdfast.connect_sync() as node:
        for entry in node.channels.channel(channel).subscribe(after=after):
            if entry.type == "end":
                break
            print(entry.index, entry.text, flush=True)


async def spawn_viewer(channel: str, after: int) -> asyncio.subprocess.Process:
    """Start one that begins after an entry."""
    return await asyncio.create_subprocess_exec(
        sys.executable, __file__, "view", channel, str(after), stdout=asyncio.subprocess.PIPE
    )


async def tokens_of(viewer: asyncio.subprocess.Process, count: int = sys.maxsize) -> list[tuple[int, str]]:
    """What it prints, until it ends or has printed so much."""
    assert viewer.stdout is not None
    seen: list[tuple[int, str]] = []
    while len(seen) < count and (line := await viewer.stdout.readline()):
        index, _, token = line.decode().rstrip("\n").partition(" ")
        seen.append((int(index), token))
    return seen


async def watch_killed_and_resumed(channel: str) -> str:
    """All that the second viewer saw, in its two lives."""
    viewer = await spawn_viewer(channel, after=0)
    before = await tokens_of(viewer, KILL_AFTER)
    viewer.kill()
    await viewer.wait()
    last = before[-1][0]
    print(f"\n[second viewer killed after token {last}]")
    viewer = await spawn_viewer(channel, after=last)
    after = await tokens_of(viewer)
    await viewer.wait()
    print(f"\n[second viewer came back at token {after[0][0]}]")
    return "".join(token for _, token in before + after)


async def watch(channel: holdfast.Channel) -> str:
    """The first viewer: shows the tokens as they come."""
    text = ""
    async for entry in channel.subscribe():
        if entry.type == "end":
            break
        print(entry.text, end="", flush=True)
        text += entry.text
    return text


async def main() -> None:
    """Start the agent and both viewers."""
    async with holdfast.connect() as node:
        job = await node.jobs.start([sys.executable, __file__, "agent"], channels=["tokens"])
        tokens = job.channel("tokens")
        first, second = await asyncio.gather(watch(tokens), watch_killed_and_resumed(tokens.id))
        await job.wait()
        await job.remove()
    if not first == second == ANSWER:
        raise SystemExit("the viewers did not see the same answer")
    print(f"both viewers saw all {len(ANSWER.split())} tokens, each once, in order")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["agent"]:
            agent()
        case ["agent", pace_s]:
            agent(float(pace_s))
        case ["view", channel, after]:
            view(channel, int(after))
        case _:
            asyncio.run(main())
