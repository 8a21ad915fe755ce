"""What time does to channels, with the router's own task at work."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from holdfast.channels.packing import Extras, encode_draft
from holdfast.channels.testkit import ChannelRoom, until
from holdfast.engine.memory import MemoryEngine

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def question(**control: Any) -> bytes:
    return encode_draft(b"?", type="needs_input", sequence=1, extras=Extras(control=control))


def test_a_question_that_is_due_expires_by_itself(run: Run) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        async with ChannelRoom(lambda: engine) as room:
            await room.router.create(room.owner, "p", "c")
            await room.router.create(room.owner, "p", "closed")
            await room.router.append(room.owner, "p/closed", question(policy="deny", expires_s=1))
            await room.router.end(room.owner, "p/closed")
            room.clock.advance(5)
            listener = await room.listen("p/c")
            await room.router.append(room.owner, "p/c", question(policy="deny", expires_s=1e-9))
            room.clock.advance(1)
            await until(lambda: listener.last_index == 3)
            assert listener.entries[-1].control == {"of": 1, "outcome": "denied"}
            assert len(await room.entries("p/closed")) == 2
            listener.cut()

    run(main())


def test_an_answer_in_time_is_the_only_one(run: Run) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        async with ChannelRoom(lambda: engine) as room:
            await room.router.create(room.owner, "p", "c")
            await room.router.append(
                room.owner, "p/c", question(policy="default", expires_s=10, default="d"), sender="a"
            )
            answer = encode_draft(b"yes", type="answer", in_reply_to=1)
            await room.router.append(room.owner, "p/c", answer, sender="b")
            room.clock.advance(100)
            await room.router.upkeep()
            assert [entry.type for entry in await room.entries("p/c")] == [
                "needs_input",
                "receipt",
                "answer",
                "receipt",
            ]

    run(main())
