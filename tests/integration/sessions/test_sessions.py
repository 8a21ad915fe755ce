"""Sessions over the jobs, the channels and the bus of a real node."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

import holdfast
from holdfast.client.sessions.aio import Session
from holdfast.errors import (
    ClientAlreadyAttached,
    ClientNotAttached,
    SessionClosed,
    SessionNotFound,
    SessionTaken,
)
from holdfast.sessions.model import Message, PatternSpec
from holdfast.testing import NodeBox

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def connect(box: NodeBox, **options: Any) -> holdfast.Node:
    return holdfast.connect(box.url, autostart=False, **options)


async def until(session: Session, enough: Callable[[list[Message]], bool]) -> list[Message]:
    """Messages of ``session`` up to the one that makes it ``enough``."""
    messages: list[Message] = []
    async for message in session:
        messages.append(message)
        if enough(messages):
            return messages
    raise AssertionError(f"the session ended: {messages}")


class Gathered:
    """What a client was given, over all its lives; it complains about a gap or a repeat."""

    def __init__(self) -> None:
        self.bytes: defaultdict[str, bytearray] = defaultdict(bytearray)
        self.next: dict[str, int] = {}
        self.ended: set[str] = set()

    def add(self, message: Message) -> None:
        if message.kind == "ended":
            assert message.subject not in self.ended, "the end came twice"
            self.ended.add(message.subject)
            return
        assert message.kind == "message", message
        first = 1 if message.subject.startswith("channels") else 0
        expected = self.next.get(message.subject, first)
        assert message.position == expected, f"a gap or a repeat at {expected}: {message}"
        self.next[message.subject] = message.next_position
        self.bytes[message.subject] += message.payload


def test_detached_killed_restarted_it_goes_on_after_the_last_acknowledged(box: NodeBox, run: Run) -> None:
    box.start_node()
    gathered = Gathered()
    counter = "import sys\nfor n in range(2000): print(n)\nsys.stdin.readline()\nfor n in range(2000, 4000): print(n)"

    async def first_life() -> tuple[str, str]:
        async with connect(box) as node:
            job = await node.jobs.start([sys.executable, "-uc", counter], tty=False)
            channel = await node.channels.create("deploy", "events")
            await channel.append(b"one ")
            async with node.session(["jobs.*.output", "channels.>"], ack="manual") as session:
                async for message in session:
                    gathered.add(message)
                    if (
                        gathered.bytes[f"jobs.{job.id}.output"].endswith(b"1999\n")
                        and "channels.deploy.events" in gathered.next
                    ):
                        break
                await session.ack()
            await channel.append(b"two ")
            return session.id, job.id

    async def second_life(session_id: str, job_id: str) -> None:
        """Attached, not acknowledging, cut by the death of the node."""
        async with connect(box) as node:
            with contextlib.suppress(holdfast.DisconnectedError):
                async with node.session(id=session_id, ack="manual") as session:
                    messages = await until(session, bool)
                    assert [message.payload for message in messages] == [b"two "]
                    assert box.node is not None
                    box.node.send_signal(signal.SIGKILL)
                    box.node.wait()

    async def third_life(session_id: str, job_id: str) -> None:
        async with connect(box) as node:
            job = await node.jobs.get(job_id)
            await job.send(b"go\n")
            second = await node.jobs.start(["echo", "a new one"], tty=False)
            other = await node.channels.create("deploy", "later")
            await other.append(
                b"later",
            )
            async with node.session(id=session_id) as session:
                assert session.recovered, "durable sources only: nothing was lost"
                wanted = {f"jobs.{job_id}.output", f"jobs.{second.id}.output"}
                async for message in session:
                    gathered.add(message)
                    if wanted <= gathered.ended and {"channels.deploy.events", "channels.deploy.later"} <= set(
                        gathered.next
                    ):
                        break
            everything = b"".join(b"%d\n" % number for number in range(4000))
            assert gathered.bytes[f"jobs.{job_id}.output"] == everything
            assert gathered.bytes[f"jobs.{second.id}.output"] == b"a new one\n"
            assert gathered.bytes["channels.deploy.events"] == b"one two "
            assert gathered.bytes["channels.deploy.later"] == b"later"
            info = await node.sessions.get(session_id)
            assert not info.attached
            assert all(cursor.position == cursor.tail for cursor in info.cursors)
            assert len(info.cursors) == 4

    session_id, job_id = run(first_life())
    run(second_life(session_id, job_id))
    box.start_node()
    run(third_life(session_id, job_id))


def test_an_iterator_outlives_the_node_and_repeats_nothing(box: NodeBox, run: Run) -> None:
    box.start_node()

    async def main() -> None:
        async with connect(box) as node:
            channel = await node.channels.create("p", "c")
            gathered = Gathered()
            async with node.session(["channels.>"], ack="manual") as session:
                for number in range(10):
                    await channel.append(b"%d" % number)
                for message in await until(session, lambda found: len(found) == 10):
                    gathered.add(message)
                assert box.node is not None
                box.node.send_signal(signal.SIGTERM)
                await asyncio.to_thread(box.node.wait)
                await asyncio.to_thread(box.start_node)
                async with connect(box) as other:
                    await other.channels.channel("p/c").append(b"after")
                for message in await until(session, bool):
                    gathered.add(message)
                assert gathered.bytes["channels.p.c"] == b"0123456789after"
                await session.ack()
            assert (await node.sessions.get(session.id)).cursors[0].position == 12

    run(main())


def test_configure_swaps_half_and_the_common_ones_never_pause(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            old = [f"bus.{number}" for number in range(50)]
            new = [f"bus.{number}" for number in range(25, 75)]
            async with node.session(old) as session, connect(node_box) as other:
                with pytest.raises(holdfast.NotFound, match=r"nix\.74"):
                    await session.configure([*new[:-1], "nix.74"])
                assert [spec.pattern for spec in (await session.info()).patterns] == old
                plan = await session.configure(new, dry_run=True)
                assert (len(plan.added), len(plan.removed), len(plan.kept), plan.version) == (25, 25, 25, 1)
                publishing = asyncio.create_task(_publish(other, 300))
                change = await session.configure(new)
                assert change.version == 2
                await publishing
                await other.publish("bus.74", "last")
                messages = await until(session, lambda found: found[-1].payload == b"last")
                assert all(message.kind == "message" for message in messages)
                common = [int(message.payload) for message in messages if message.subject == "bus.30"]
                assert common == list(range(300)), "not one missed, none twice"
                assert messages[-1].subject == "bus.74"

    async def _publish(other: holdfast.Node, count: int) -> None:
        for number in range(count):
            await other.publish("bus.30", str(number))

    run(main())


def test_feeds_wait_for_a_detached_client_and_what_is_dropped_is_reported(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            patterns = [
                PatternSpec(pattern="bus.drop.*", buffer_messages=3),
                PatternSpec(pattern="bus.latest.*", policy="conflate"),
            ]
            async with node.session(patterns) as session:
                pass
            for number in range(10):
                await node.publish("bus.drop.a", str(number), headers={"n": str(number)})
                await node.publish(f"bus.latest.{number % 2}", str(number))
            info = await node.sessions.get(session.id)
            assert (info.buffered_messages, info.lost) == (5, 15)
            async with node.session(id=session.id) as session:
                messages = await until(session, lambda found: len(found) == 7)
            reports = {m.subject: m.detail["count"] for m in messages if m.kind == "lost"}
            assert reports == {"bus.drop.*": 7, "bus.latest.*": 8}
            given = [(m.subject, m.payload) for m in messages if m.kind == "message"]
            assert given == [
                ("bus.drop.a", b"7"),
                ("bus.drop.a", b"8"),
                ("bus.latest.0", b"8"),
                ("bus.drop.a", b"9"),
                ("bus.latest.1", b"9"),
            ]
            assert messages[-2].headers == {"n": "9"}

    run(main())


def test_overlapping_patterns_give_a_message_once(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with (
            connect(node_box) as node,
            node.session(["bus.a.*", "bus.*.b", "bus.>", "channels.>", "channels.p.c"]) as session,
        ):
            channel = await node.channels.create("p", "c")
            await channel.append(b"entry")
            await node.publish("bus.a.b", "x")
            await node.publish("bus.end", "y")
            messages = await until(session, lambda found: len(found) == 3)
            assert sorted(m.payload for m in messages) == [b"entry", b"x", b"y"]
            await session.configure(["channels.p.c"])
            await channel.append(b"more")
            await node.publish("bus.a.b", "not any more")
            assert (await until(session, bool))[0].payload == b"more"

    run(main())


def test_stealing_closing_and_being_detached(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node, connect(node_box) as other:
            laptop = node.session(["bus.>"], client="laptop")
            async with laptop:
                with pytest.raises(ClientAlreadyAttached) as attached:
                    async with other.session(id=laptop.id):
                        pass
                assert attached.value.holder == "laptop"
                async with other.session(id=laptop.id, steal=True, client="phone") as phone:
                    with pytest.raises(SessionTaken) as taken:
                        await laptop.read()
                    assert taken.value.holder == "phone"
                    await other.publish("bus.x", "for the phone")
                    assert (await until(phone, bool))[0].payload == b"for the phone"
                    await node.sessions.detach(laptop.id)
                    assert await phone.read() is None, "detached by somebody: the end, no error"
                    with pytest.raises(ClientNotAttached):
                        await node.sessions.detach(laptop.id)
            async with other.session(id=laptop.id) as again:
                await node.sessions.close(laptop.id, "done with it")
                with pytest.raises(SessionClosed, match="done with it"):
                    await again.read()
            for ask in (node.sessions.close, node.sessions.get, node.sessions.detach):
                with pytest.raises(SessionNotFound):
                    await ask(laptop.id)
            with pytest.raises(SessionNotFound):
                await node.sessions.configure(laptop.id, ["bus.>"])

    run(main())


def test_bad_input_is_named(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            for pattern in ("", "bus..a", ">", "*.a", "bus.a>", "bus a", "bus." + "x" * 300):
                with pytest.raises(holdfast.UsageError, match=r"patterns\[0\]"):
                    await node.sessions.new([pattern])
            with pytest.raises(holdfast.NotFound, match="no provider 'nix'"):
                await node.sessions.new(["nix.>"])
            with pytest.raises(holdfast.UsageError, match="twice"):
                await node.sessions.new(["bus.a", "bus.a"])
            with pytest.raises(holdfast.UsageError, match="idle_after"):
                await node.sessions.new([], idle_after=float("nan"))
            for subject in ("bus.*", "", "bus..x"):
                with pytest.raises(holdfast.UsageError, match="subject"):
                    await node.publish(subject, "x")
            for subject in ("nix.a", "jobs.nix.input", "jobs.nix.output", "channels.p.nix", "channels.p", "bus"):
                with pytest.raises(holdfast.NotFound):
                    await node.publish(subject, "x")
            with pytest.raises(holdfast.LimitExceeded, match=r"session_message_bytes_max|frame|request"):
                await node.publish("bus.a", bytes(2 << 20))
            with pytest.raises(holdfast.NotFound, match="no kind of provider"):
                await node.sessions.add_provider("x", "no-such-kind")
            with pytest.raises(holdfast.PermissionDenied):
                await node.sessions.remove_provider("bus")
            with pytest.raises(SessionNotFound):
                await node.sessions.get("nix")
            async with node.session(["bus.>"]) as session:
                with pytest.raises(holdfast.UsageError, match="count"):
                    await session._ack(5)

    run(main())


def test_messages_go_to_jobs_and_channels_too(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            job = await node.jobs.start(["cat"], tty=False)
            channel = await node.channels.create("p", "with.dots")
            async with node.session([f"jobs.{job.id}.>", "channels.>"]) as session:
                assert await session.send(f"jobs.{job.id}.input", "to the cat") == -1
                subject = "channels.p.with%2Edots"
                assert await session.send(subject, "an entry", headers={"content-type": "text/plain"}, sequence=7) == 1
                assert await session.send(subject, "an entry", headers={"content-type": "text/plain"}, sequence=7) == 1
                found: dict[str, Message] = {}
                async for message in session:
                    found[message.subject] = message
                    if {subject, f"jobs.{job.id}.output"} <= set(found):
                        break
                assert found[f"jobs.{job.id}.output"].payload == b"to the cat"
                entry = found[subject]
                assert (entry.payload, entry.position, entry.headers["sequence"]) == (b"an entry", 1, "7")
                assert entry.headers["content-type"] == "text/plain"
                await job.send(b"", eof=True)
                await job.wait()
                seen = [message async for message in _until_ended(session)]
                assert {message.kind for message in seen} == {"message", "ended"}
                await job.remove()
                gone = await until(session, lambda found: found[-1].kind == "gone")
                assert gone[-1].subject == f"jobs.{job.id}.output"
            assert [entry.sequence for entry in await channel.read()] == [7], "the repeat was none"

    async def _until_ended(session: Session) -> AsyncIterator[Message]:
        async for message in session:
            yield message
            if message.kind == "ended":
                return

    run(main())


def test_the_blocking_twin(node_box: NodeBox) -> None:
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        with node.session(["bus.>", "channels.>"], ack="manual") as session:
            node.channels.create("p", "c").append(b"durable")
            session.send("bus.a", "fleeting")
            messages = [session.read(60.0), session.read(60.0)]
            assert sorted(m.payload for m in messages if m is not None) == [b"durable", b"fleeting"]
            with pytest.raises(holdfast.DeadlineExceeded):
                session.read(0.01)
            assert session.configure(["channels.>"]).removed == ["bus.>"]
        with node.session(id=session.id) as session:
            message = session.read(60.0)
            assert message is not None
            assert message.payload == b"durable", "it was not acknowledged, so it comes again"
        with node.session(id=session.id) as session, pytest.raises(holdfast.DeadlineExceeded):
            session.read(0.05)
        assert [info.id for info in node.sessions.list()] == [session.id]
        node.sessions.close(session.id)
        assert node.sessions.stats().sessions == 0


def test_a_session_that_nobody_comes_back_to_is_reaped(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            for _ in range(200):
                await node.sessions.new(["bus.>"], idle_after=0.2)
            keeps = await node.sessions.new(["bus.>"], idle_after=0)
            while (stats := await node.sessions.stats()).sessions > 1:
                await asyncio.sleep(0.05)
            assert stats.reaped == 200
            assert (await node.sessions.get(keeps.id)).expires_at == 0.0
        log = (node_box.directory / "node.err").read_text()
        assert log.count('"session.closed"') == 200
        assert log.count("idle for 0.2 s") == 200

    run(main())


def test_figures_for_operators(box: NodeBox, run: Run) -> None:
    box.start_node("--http", "127.0.0.1:0", "--http-open")

    def figures() -> dict[str, float]:
        with urllib.request.urlopen(f"{box.listening('http')}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    async def main() -> None:
        async with connect(box) as node, node.session([PatternSpec(pattern="bus.>", buffer_messages=1)]) as session:
            await node.sessions.new(["bus.x"], idle_after=0)
            await node.publish("bus.a", "x")
            await until(session, bool)
            await session.detach()
            for _ in range(3):
                await node.publish("bus.a", "x")
            found = await asyncio.to_thread(figures)
            assert found['holdfast_sessions{state="detached"}'] == 2
            assert found['holdfast_sessions{state="attached"}'] == 0
            assert found['holdfast_session_messages_total{outcome="delivered"}'] == 1
            assert found['holdfast_session_messages_total{outcome="lost"}'] == 2
            assert (found["holdfast_providers"], found["holdfast_session_feeds"]) == (3, 2)

    run(main())
