"""The same seed, the same feed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from holdfast.clock import RealClock, VirtualClock
from holdfast.errors import UsageError
from holdfast.limits import LIMITS
from holdfast.sessions.model import Message
from holdfast.sessions.providers.base import Context
from holdfast.sessions.providers.synthetic import SyntheticProvider

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Notes:
    """What of a sink is used here."""

    def __init__(self) -> None:
        self.got: list[Message] = []

    def messages(self, batch: Sequence[Message]) -> None:
        self.got += batch


def made(clock: Any = None, **options: str) -> SyntheticProvider:
    return SyntheticProvider("s", options, Context(clock or VirtualClock(), LIMITS))


async def feed(pattern: str, steps: int, **options: str) -> list[tuple[str, dict[str, Any]]]:
    provider, notes = made(**options), Notes()
    stream = await provider.open(pattern, notes)  # type: ignore[arg-type]
    provider.step(steps)
    await stream.close()
    provider.step(1)
    return [(message.subject, json.loads(message.payload)) for message in notes.got]


def test_a_seed_is_a_feed(run: Run) -> None:
    async def main() -> None:
        one = await feed("s.>", 3, seed="7", subjects="2")
        assert one == await feed("s.>", 3, seed="7", subjects="2")
        assert one != await feed("s.>", 3, seed="8", subjects="2")
        assert [(subject, content["sequence"]) for subject, content in one] == [
            *(("s.0", number) for number in (1, 2, 3)),
            *(("s.1", number) for number in (1, 2, 3)),
        ]
        assert [item for item in one if item[0] == "s.1"] == await feed("s.1", 3, seed="7", subjects="2")

    run(main())


def test_it_has_a_snapshot_a_list_and_padding(run: Run) -> None:
    async def main() -> None:
        provider = made(subjects="3", payload_bytes="50")
        assert await provider.snapshot("s.>") == []
        provider.step(2)
        (last,) = await provider.snapshot("s.2")
        assert json.loads(last.payload)["sequence"] == 2
        assert len(json.loads(last.payload)["padding"]) == 50
        assert [info.subject for info in await provider.subjects("s.*")] == ["s.0", "s.1", "s.2"]

    run(main())


def test_it_runs_by_itself_and_ends(run: Run) -> None:
    async def main() -> None:
        provider, notes = made(RealClock(), rate="2000", count="30"), Notes()
        await provider.open("s.0", notes)  # type: ignore[arg-type]
        await provider.start()
        while len(notes.got) < 30:
            await asyncio.sleep(0.001)
        await provider.stop()
        assert [json.loads(message.payload)["sequence"] for message in notes.got] == list(range(1, 31))

    run(main())


@pytest.mark.parametrize(
    ("name", "value"), [("rate", "0"), ("rate", "fast"), ("subjects", "0"), ("count", "-1"), ("speed", "1")]
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        made(**{name: value})
    assert caught.value.field == f"options.{name}"
