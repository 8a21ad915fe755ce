"""``synthetic``: a feed made of a seed, for tests and demonstrations.

Subjects are ``<name>.0``, ``<name>.1`` and so on, as many as ``subjects`` says.  Each message is the JSON object
``{"sequence": n, "value": x}``; the values of a subject walk at random, the same for the same seed.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...subjects import PatternTrie, matches
from ..model import Message, SubjectInfo
from .base import BaseProvider, Context, OpenStream, Sink, Stream, take_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OPTIONS = {"seed": "1", "rate": "1", "subjects": "1", "count": "0", "payload_bytes": "0"}
_RATE_MAX = 100_000.0
_SUBJECTS_MAX = 10_000
_TURN_S = 0.01
"""Faster feeds give several messages a turn."""


class Walk:
    """One subject's values.  Pure."""

    def __init__(self, seed: int, place: int) -> None:
        self._random = Random(f"{seed}/{place}")  # noqa: S311 - reproducible is what it is for
        self.sequence = 0
        """Messages so far."""
        self.value = 100.0

    def step(self) -> dict[str, float]:
        """The next message's content."""
        self.sequence += 1
        self.value = round(self.value + self._random.gauss(0.0, 1.0), 3)
        return {"sequence": self.sequence, "value": self.value}


class SyntheticProvider(BaseProvider):
    """Implements :class:`~.base.Provider`.  It runs from its start on, whether anybody listens or not."""

    def __init__(self, name: str, options: Mapping[str, str], context: Context) -> None:
        """``rate``: messages a second of each subject; ``count``: of each subject, 0 without end."""
        taken = take_options(options, _OPTIONS, "synthetic")
        self._rate = _number(taken, "rate", 0.001, _RATE_MAX)
        self._count = int(_number(taken, "count", 0, 1e15))
        self._payload = "x" * int(_number(taken, "payload_bytes", 0, context.limits.session_message_bytes_max // 2))
        seed, subjects = int(_number(taken, "seed", -1e15, 1e15)), int(_number(taken, "subjects", 1, _SUBJECTS_MAX))
        self._walks = {f"{name}.{place}": Walk(seed, place) for place in range(subjects)}
        self._clock = context.clock
        self._last: dict[str, Message] = {}
        self._sinks: PatternTrie[Sink] = PatternTrie()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="synthetic")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        began, turn_s = self._clock.now(), max(_TURN_S, 1 / self._rate)
        given = 0
        while not self._count or given < self._count:
            await asyncio.sleep(turn_s)
            wanted = int((self._clock.now() - began) * self._rate)
            wanted = min(wanted, self._count) if self._count else wanted
            if wanted > given:
                self.step(wanted - given)
                given = wanted

    def step(self, count: int) -> None:
        """The next ``count`` messages of each subject."""
        for subject, walk in self._walks.items():
            batch = [self._message(subject, walk) for _ in range(count)]
            self._last[subject] = batch[-1]
            for sink in self._sinks.match(subject):
                sink.messages(batch)

    def _message(self, subject: str, walk: Walk) -> Message:
        content: dict[str, object] = {**walk.step()}
        if self._payload:
            content["padding"] = self._payload
        headers = {"content-type": "application/json"}
        return Message(subject, json.dumps(content).encode(), headers, self._clock.wall())

    async def subjects(self, pattern: str) -> Sequence[SubjectInfo]:
        """All of them."""
        return [SubjectInfo(subject=subject) for subject in self._walks if matches(pattern, subject)]

    async def open(self, pattern: str, sink: Sink) -> Stream:
        """See :meth:`Provider.open`."""
        self._sinks.add(pattern, sink)

        async def close() -> None:
            self._sinks.remove(pattern, sink)

        return OpenStream(close)

    async def snapshot(self, subject: str) -> Sequence[Message]:
        """The newest message of each."""
        return [message for name, message in self._last.items() if matches(subject, name)]


def _number(options: Mapping[str, str], name: str, least: float, most: float) -> float:
    try:
        value = float(options[name])
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(
            f"options.{name}: {options[name]!r} is not a number from {least:g} to {most:g}", field=f"options.{name}"
        )
    return value
