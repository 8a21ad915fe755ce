"""Answers find who waits for them, and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from holdfast.engine.nats.link.inbox import Inbox, is_refused
from holdfast.errors import ClosedError


class Subscriptions:
    """What nats-py's client is to an inbox."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.sinks: list[asyncio.Future[Msg]] = []

    async def subscribe(self, subject: str, *, future: asyncio.Future[Msg]) -> None:
        self.subjects.append(subject)
        self.sinks.append(future)

    def deliver(self, subject: str, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        assert not self.sinks[0].cancelled()
        self.sinks[0].set_result(message(subject, data, headers))


def message(subject: str, data: bytes = b"", headers: dict[str, str] | None = None) -> Msg:
    nobody: Any = None
    return Msg(nobody, subject, data=data, headers=headers)


async def opened(client: Subscriptions) -> Inbox:
    inbox = Inbox(cast("Client", client), "root")
    await inbox.open()
    return inbox


def test_each_answer_has_a_subject_of_its_own_and_one_subscription_hears_all() -> None:
    async def main() -> None:
        client = Subscriptions()
        inbox = await opened(client)
        assert [subject.startswith("root.") and subject.endswith(".*") for subject in client.subjects] == [True]
        with inbox.expected() as (first, one), inbox.expected() as (second, two):
            assert first.startswith(client.subjects[0][:-1])
            client.deliver(second, b"two")
            client.deliver(first, b"one")
            client.deliver(first, b"again")
            assert [(await one).data, (await two).data] == [b"one", b"two"]
        client.deliver(first, b"late")
        client.deliver("root.other.1", b"nobody's")

    asyncio.run(main())


def test_two_inboxes_of_one_root_differ() -> None:
    async def main() -> None:
        client = Subscriptions()
        await opened(client)
        await opened(client)
        assert len(set(client.subjects)) == 2

    asyncio.run(main())


def test_the_end_is_told_to_who_waits() -> None:
    async def main() -> None:
        inbox = await opened(Subscriptions())
        with inbox.expected() as (_, answer):
            inbox.fail(ClosedError("the engine was stopped"))
            inbox.fail(ClosedError("the engine was stopped"))
            with pytest.raises(ClosedError):
                await answer

    asyncio.run(main())


def test_no_responders() -> None:
    assert is_refused(message("s", headers={"Status": "503"}))
    assert not is_refused(message("s", headers={"Status": "404"}))
    assert not is_refused(message("s"))
