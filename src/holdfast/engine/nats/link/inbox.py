"""How messages reach us from nats-py: at once, from its parser; and answers to what we asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg

from ....ids import new_token


class Sink(asyncio.Future[Msg]):
    """Given to nats-py as the future of a subscription, so that each message is handed over when it was parsed.

    Its callbacks go through a queue and a task for every subscription; what they cost is more than all the rest.
    """

    def __init__(self, receive: Callable[[Msg], None]) -> None:
        super().__init__()
        self._receive = receive

    def set_result(self, result: Msg, /) -> None:
        """Called for every message; ``receive`` must not raise."""
        self._receive(result)


class Inbox:
    """Answers, each on a subject of its own; one subscription for all of them.

    One whose answer does not come in time is forgotten; an answer that nobody waits for is dropped.
    """

    def __init__(self, client: Client, root: str) -> None:
        """``root`` is what its subjects begin with."""
        self._client = client
        self._root = f"{root}.{new_token()}."
        self._numbers = count(1)
        self._waiting: dict[str, asyncio.Future[Msg]] = {}

    async def open(self) -> None:
        """Subscribe; before anything else."""
        await self._client.subscribe(f"{self._root}*", future=Sink(self._receive))

    @contextmanager
    def expected(self) -> Iterator[tuple[str, asyncio.Future[Msg]]]:
        """A subject for one answer, and the answer; expected for as long as this is entered."""
        subject = f"{self._root}{next(self._numbers)}"
        self._waiting[subject] = answer = asyncio.get_running_loop().create_future()
        try:
            yield subject, answer
        finally:
            del self._waiting[subject]

    def _receive(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def fail(self, error: Exception) -> None:
        """There will be no more answers."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)


def is_refused(message: Msg) -> bool:
    """Whether it says that nobody listens where the question went."""
    return message.headers is not None and message.headers.get("Status") == "503"
