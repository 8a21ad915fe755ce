"""Sessions of callers with tokens: their own only, and nothing in them that they could not read otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import holdfast
from holdfast.client.sessions.aio import Session
from holdfast.errors import SessionNotFound
from holdfast.sessions.model import Message
from holdfast.testing import NodeBox

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ALL = ["sessions:read", "sessions:write", "jobs:read", "jobs:write", "channels:read", "channels:write"]


@pytest.fixture
def open_box(box: NodeBox) -> NodeBox:
    """A node that also listens on TCP."""
    box.start_node("--listen", "tcp://127.0.0.1:0")
    return box


def connect(box: NodeBox, token: str = "") -> holdfast.Node:
    if not token:
        return holdfast.connect(box.url, autostart=False)
    return holdfast.connect(box.listening("tcp"), token=token, autostart=False)


async def some(session: Session, count: int) -> list[Message]:
    messages: list[Message] = []
    async for message in session:
        messages.append(message)
        if len(messages) == count:
            break
    return messages


def test_a_foreign_session_does_not_exist_and_cannot_be_taken(open_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(open_box) as owner:
            ann, eve = [(await owner.tokens.mint(name, ALL)).token for name in ("ann", "eve")]
            async with connect(open_box, ann) as anns, connect(open_box, eve) as eves:
                async with anns.session(["bus.>"]) as session:
                    for wanted in (session.id, session.id.replace(session.id[0], "x")):
                        for ask in (
                            eves.sessions.get(wanted),
                            eves.sessions.detach(wanted),
                            eves.sessions.close(wanted),
                            eves.sessions.configure(wanted, ["bus.x"]),
                            eves.session(id=wanted, steal=True).__aenter__(),
                        ):
                            with pytest.raises(SessionNotFound) as caught:
                                await ask
                            assert str(caught.value) == f"no session {wanted!r}"
                    assert await eves.sessions.list() == []
                    await anns.publish("bus.x", "still ann's")
                    assert (await some(session, 1))[0].payload == b"still ann's"
                assert [info.id for info in await anns.sessions.list()] == [session.id]
                audit = (open_box.state_dir / "audit.log").read_text()
                assert audit.count("not its session") == 5, "each denial of a session that is there is noted"
                assert [info.owner for info in await owner.sessions.list()] == ["ann"], "the owner sees all"

    run(main())


def test_a_session_sees_what_its_identity_may_read(open_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(open_box) as owner:
            ann = (await owner.tokens.mint("ann", ALL)).token
            own = await owner.channels.create("p", "anns", submitter="ann")
            secret = await owner.channels.create("p", "secret")
            job = await owner.jobs.start(["echo", "mine"], tty=False)
            other = await owner.jobs.start(["echo", "not mine"], tty=False)
            await asyncio.gather(job.wait(), other.wait(), own.append(b"for ann"), secret.append(b"not for ann"))
            async with connect(open_box, ann) as anns, anns.session(["channels.>"]) as session:
                assert [message.payload for message in await some(session, 1)] == [b"for ann"]
                await secret.set_executor("ann")
                assert [message.payload for message in await some(session, 1)] == [b"not for ann"], "it is ann's now"
                await secret.set_executor("")
                await secret.append(b"after")
                (gone,) = await some(session, 1)
                assert (gone.kind, gone.subject) == ("gone", "channels.p.secret")
            bound = (await owner.tokens.mint("worker", ALL, job=job.id)).token
            async with connect(open_box, bound) as worker:
                with pytest.raises(holdfast.PermissionDenied):
                    await worker.sessions.new(["bus.>"])
                with pytest.raises(holdfast.PermissionDenied):
                    await worker.publish("bus.x", "y")
                async with worker.session(["jobs.>"]) as session:
                    messages = await some(session, 2)
                    assert {message.subject.split(".")[1] for message in messages} == {job.id}
                subjects = {info.subject for info in await worker.sessions.subjects("jobs.*.output")}
                assert subjects == {f"jobs.{job.id}.output"}

    run(main())


def test_scopes(open_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(open_box) as owner:
            none = (await owner.tokens.mint("none", ["jobs:read"])).token
            reads = (await owner.tokens.mint("reads", ["sessions:read"])).token
            reader = (await owner.tokens.mint("reader", ALL, role="reader")).token
            admin = (await owner.tokens.mint("admin", ["admin"])).token
            async with connect(open_box, none) as node:
                with pytest.raises(holdfast.PermissionDenied, match="sessions:read"):
                    await node.sessions.new(["bus.>"])
            async with connect(open_box, reads) as node:
                await node.sessions.new(["bus.>"])
                for patterns in (["jobs.>"], ["channels.>"]):
                    with pytest.raises(holdfast.PermissionDenied):
                        await node.sessions.new(patterns)
                with pytest.raises(holdfast.PermissionDenied, match="sessions:write"):
                    await node.publish("bus.x", "y")
                for ask in (node.sessions.add_provider("x", "y"), node.sessions.remove_provider("jobs")):
                    with pytest.raises(holdfast.PermissionDenied, match="admin"):
                        await ask
            async with connect(open_box, reader) as node:
                with pytest.raises(holdfast.PermissionDenied):
                    await node.publish("bus.x", "y")
            async with connect(open_box, admin) as node:
                assert len(await node.sessions.list()) == 1
                with pytest.raises(holdfast.NotFound, match="no kind of provider"):
                    await node.sessions.add_provider("x", "no-such-kind")

    run(main())


def test_rights_are_those_of_who_comes_back_after_a_restart(open_box: NodeBox, run: Run) -> None:
    async def before() -> tuple[str, str]:
        async with connect(open_box) as owner:
            ann = (await owner.tokens.mint("ann", ALL)).token
            await owner.channels.create("p", "secret")
            async with connect(open_box, ann) as anns:
                return ann, (await anns.sessions.new(["channels.>", "bus.>"])).id

    async def after(ann: str, session_id: str) -> None:
        async with connect(open_box) as owner, connect(open_box, ann) as anns:
            await owner.channels.channel("p/secret").append(b"not for ann")
            await owner.publish("bus.x", "for all")
            async with anns.session(id=session_id) as session:
                assert not session.recovered
                assert "bus.>" in session.recovered_why
                assert [message.payload for message in await some(session, 1)] == [b"for all"]

    ann, session_id = run(before())
    open_box.kill_node()
    open_box.start_node("--listen", "tcp://127.0.0.1:0")
    run(after(ann, session_id))
