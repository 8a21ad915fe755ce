"""A node's sessions over an engine in memory: durable sources, feeds, restarts, and what a client is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from holdfast.errors import (
    ClientNotAttached,
    ClosedError,
    InternalError,
    NotFound,
    SessionNotFound,
    SlowConsumer,
    StorageError,
    Unavailable,
    UsageError,
)
from holdfast.limits import LIMITS
from holdfast.sessions import actor
from holdfast.sessions.access import Stranger
from holdfast.sessions.core.state import Session
from holdfast.sessions.delivery.outlet import Outlet
from holdfast.sessions.model import Message, PatternSpec
from holdfast.sessions.providers import registry
from holdfast.sessions.providers.base import BaseProvider

House = Any
Client = Any
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def said(messages: list[Message]) -> list[tuple[str, bytes]]:
    return [(message.subject, message.payload) for message in messages if message.kind == "message"]


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
def live(house_type: type[House], run: Run) -> Callable[..., Any]:
    """``live(story)`` runs a story in a house of its own."""

    def tell(story: Callable[[House], Coroutine[Any, Any, Any]], **limits: Any) -> Any:
        async def main() -> Any:
            async with house_type(LIMITS._replace(**limits)) as house:
                return await story(house)

        return run(main())

    return tell


Live = Callable[..., Any]


def specs(*patterns: str, **options: Any) -> list[PatternSpec]:
    return [PatternSpec(pattern=pattern, **options) for pattern in patterns]


# durable sources


def test_cursors_move_by_acknowledgement_and_outlive_a_restart(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"0", b"1", b"2", b"3")
        session = (await house.sessions.new(ann, specs("shelf.*.log"), 60.0)).id
        client = await house.attach(ann, session)
        assert said(await client.take(4)) == [("shelf.a.log", b"%d" % number) for number in range(4)]
        await house.sessions.ack(ann, session, 1, 2)
        assert [(c.position, c.tail) for c in house.sessions.info(ann, session).cursors] == [(2, 4)]
        await house.sessions.detach(ann, session)
        client = await house.attach(ann, session)
        assert said(await client.take(2)) == [("shelf.a.log", b"2"), ("shelf.a.log", b"3")]
        await house.sessions.ack(ann, session, 2, 1)
        await house.down()
        house.shelf.append("shelf.a.log", b"4")
        house.shelf.append("shelf.new.log", b"new")
        await house.up()
        info = house.sessions.info(ann, session)
        assert (info.recovered, info.attached, info.version) == (True, False, 1)
        client = await house.attach(ann, session)
        assert sorted(said(await client.take(3))) == [
            ("shelf.a.log", b"3"),
            ("shelf.a.log", b"4"),
            ("shelf.new.log", b"new"),
        ]

    live(story)


def test_nothing_of_a_log_is_in_memory_and_it_is_read_when_there_is_room(
    live: Live, ann: Stranger, client_type: type[Client]
) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        house.shelf.append("shelf.a.log", *[bytes(1_000)] * 500)
        await settled()
        outlet: Outlet = house.sessions._performer.outlets[session]
        assert house.shelf.reads == 0
        assert outlet._backlog._buffer is None
        assert outlet._reader is None
        client = client_type(window_bytes=4_000)
        await house.attach(ann, session, client)
        await settled()
        reads = house.shelf.reads
        assert 0 < reads < 5, "as much as the stream has room for"
        house.shelf.append("shelf.a.log", *[bytes(1_000)] * 500)
        await settled()
        assert house.shelf.reads == reads, "more of it does not make the client any faster"
        got = await client.take(1_000)
        assert [message.position for message in got] == list(range(1_000))

    live(story, session_stream_bytes=20_000, session_read_bytes=10_000)


def test_reading_stops_where_too_much_is_unacknowledged(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", *[b"x" * 100] * 50)
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        got = await client.take(10)
        assert 10 <= len(got) < 20
        await house.sessions.ack(ann, session, 1, len(got))
        assert len(await client.take(10)) >= 10

    live(story, session_unacknowledged_max=10, session_read_bytes=300)


def test_reading_does_not_stop_for_who_acknowledges_nothing(
    live: Live, ann: Stranger, client_type: type[Client]
) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", *[b"x" * 100] * 50)
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = client_type(acknowledges=False)
        await house.attach(ann, session, client)
        assert len(await client.take(50)) == 50
        await house.sessions.ack(ann, session, 1, 50)
        assert house.sessions.info(ann, session).cursors == [], "it all comes again"

    live(story, session_unacknowledged_max=10, session_read_bytes=300)


def test_a_source_is_gone_also_for_a_client_that_acknowledged_nothing_of_it(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"old 0", b"old 1")
        house.shelf.append("shelf.b.log", b"never given")
        session = (await house.sessions.new(ann, specs("shelf.a.>"), 60.0)).id
        client = await house.attach(ann, session)
        await client.take(2)
        client.hang_up()
        await settled()
        house.shelf.drop("shelf.a.log")
        house.shelf.drop("shelf.b.log")
        house.shelf.append("shelf.a.log", b"new 0")
        client = await house.attach(ann, session)
        gone, fresh = await client.take(2)
        assert (gone.kind, gone.subject) == ("gone", "shelf.a.log")
        assert (fresh.position, fresh.payload) == (0, b"new 0")

    live(story)


def test_messages_larger_than_the_stream_has_room_for(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        house.shelf.append("shelf.a.log", bytes(100_000), b"small")
        house.shelf.emit("shelf.b", bytes(70_000), b"tiny")
        got = await client.take(4)
        assert sorted(len(message.payload) for message in got) == [4, 5, 70_000, 100_000]

    live(story, session_stream_bytes=8_000)


def test_the_end_of_a_source_is_told_once_and_acknowledged(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"all", end=True)
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        got = await client.take(2)
        assert [message.kind for message in got] == ["message", "ended"]
        await house.sessions.detach(ann, session)
        client = await house.attach(ann, session)
        assert [message.kind for message in await client.take(2)] == ["message", "ended"], "not acknowledged"
        await house.sessions.ack(ann, session, 2, 2)
        for restart in (False, True):
            if restart:
                await house.down()
                await house.up()
            else:
                await house.sessions.detach(ann, session)
            client = await house.attach(ann, session)
            assert await client.take() == []

    live(story)


def test_what_was_trimmed_away_is_a_gap_and_what_is_removed_is_gone(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", *[b"%d" % number for number in range(6)])
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        await client.take(6)
        await house.sessions.ack(ann, session, 1, 2)
        await house.sessions.detach(ann, session)
        house.shelf.trimmed["shelf.a.log"] = 4
        client = await house.attach(ann, session)
        gap, *rest = await client.take(3)
        assert (gap.kind, gap.position, gap.next_position) == ("gap", 2, 4)
        assert said(rest) == [("shelf.a.log", b"4"), ("shelf.a.log", b"5")]
        await house.sessions.detach(ann, session)
        house.shelf.drop("shelf.a.log")
        client = await house.attach(ann, session)
        (gone,) = await client.take(1)
        assert (gone.kind, gone.subject, gone.detail) == ("gone", "shelf.a.log", {"reason": "dropped"})
        assert house.sessions.info(ann, session).cursors == []
        house.shelf.append("shelf.a.log", b"again")
        (again,) = await client.take(1)
        assert (again.position, again.payload) == (0, b"again")

    live(story)


def test_from_now_on(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"old", b"older")
        session = (await house.sessions.new(ann, specs("shelf.>", start="now"), 60.0)).id
        await house.down()
        house.shelf.append("shelf.a.log", b"new")
        house.shelf.append("shelf.b.log", b"its beginning")
        await house.up()
        client = await house.attach(ann, session)
        assert sorted(said(await client.take(2))) == [("shelf.a.log", b"new"), ("shelf.b.log", b"its beginning")]

    live(story)


def test_a_plan_says_what_would_be_replayed(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"12345", b"67")
        session = (await house.sessions.new(ann, [], 60.0)).id
        plan = await house.sessions.configure(ann, session, specs("shelf.*.log", "shelf.feed"), dry_run=True)
        assert (plan.version, plan.added, plan.replay_bytes) == (1, ["shelf.*.log", "shelf.feed"], 7)
        assert [(one.subject, one.position, one.tail) for one in plan.replay] == [("shelf.a.log", 0, 2)]
        plan = await house.sessions.configure(ann, session, specs("shelf.*.log", start="now"), dry_run=True)
        assert plan.replay_bytes == 0
        assert not house.shelf.sinks

    live(story)


def test_only_what_may_be_read_is_there(live: Live) -> None:
    class Guest(Stranger):
        allowed = frozenset({"shelf.a.log", "shelf.a.feed"})

        def reads_all(self, provider: str) -> bool:
            return False

        def reads(self, subject: str) -> bool:
            return subject in self.allowed

    async def story(house: House) -> None:
        guest = Guest("guest")
        house.shelf.append("shelf.a.log", b"a")
        house.shelf.append("shelf.b.log", b"b")
        session = (await house.sessions.new(guest, specs("shelf.>"), 60.0)).id
        client = await house.attach(guest, session)
        house.shelf.emit("shelf.a.feed", b"fa")
        house.shelf.emit("shelf.b.feed", b"fb")
        assert sorted(said(await client.take(2))) == [("shelf.a.feed", b"fa"), ("shelf.a.log", b"a")]
        assert house.sessions.info(guest, session).sources == 1
        assert [info.subject for info in await house.sessions.subjects(guest, "shelf.>")] == ["shelf.a.log"]
        Guest.allowed = frozenset({"shelf.b.log"})
        house.shelf.append("shelf.a.log", b"secret")
        (gone,) = await client.take(1)
        assert (gone.kind, gone.subject) == ("gone", "shelf.a.log")
        for sink in house.shelf.sinks.values():
            sink.found(house.shelf._info("shelf.b.log"))
        assert said(await client.take(1)) == [("shelf.b.log", b"b")], "it may be read now"

    live(story)


# feeds


def test_a_session_that_is_attached_gets_feeds_at_once_and_a_slow_one_from_its_buffer(
    live: Live, ann: Stranger
) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.>", buffer_messages=5), 60.0)).id
        client = await house.attach(ann, session)
        house.shelf.emit("shelf.x", b"1", b"2")
        assert said(await client.take(2)) == [("shelf.x", b"1"), ("shelf.x", b"2")]
        house.shelf.emit("shelf.x", *[b"%d" % number + bytes(3_000) for number in range(20)])
        got = await client.take(6)
        lost = [message for message in got if message.kind == "lost"]
        assert len(lost) == 1
        assert lost[0].detail["count"] + len(said(got)) == 20
        assert house.sessions.info(ann, session).lost == lost[0].detail["count"]
        assert said(got)[-1][1].startswith(b"19")

    live(story, session_stream_bytes=8_000)


def test_a_client_that_wants_to_be_let_go_is(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.>", policy="disconnect", buffer_messages=2), 60.0)).id
        client = await house.attach(ann, session)
        house.shelf.emit("shelf.x", *[bytes(3_000)] * 9)
        await client.take()
        assert isinstance(client.error, SlowConsumer)
        with pytest.raises(ClientNotAttached):
            await house.sessions.detach(ann, session)

    live(story, session_stream_bytes=8_000)


def test_what_was_on_its_way_when_the_client_was_cut_is_reported(
    live: Live, ann: Stranger, client_type: type[Client]
) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        house.shelf.emit("shelf.x", b"never read")
        client.hang_up()
        await settled()
        assert not house.sessions.info(ann, session).attached
        house.shelf.emit("shelf.x", b"after")
        client = await house.attach(ann, session)
        gap, after = await client.take(2)
        assert gap.kind == "gap"
        assert "on their way" in gap.detail["reason"]
        assert after.payload == b"after"
        await house.sessions.detach(ann, session)
        dead = client_type()
        dead.cut = True
        await house.attach(ann, session, dead)
        await settled()
        assert not house.sessions.info(ann, session).attached, "whoever is cut before it is attached is cut"

    live(story)


def test_first_what_is_so_then_what_comes(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.state = {"shelf.x": b"so", "shelf.y": b"so too", "shelf.z": b"other"}
        session = (await house.sessions.new(ann, [*specs("shelf.x"), *specs("shelf.z", snapshot=False)], 60.0)).id
        house.shelf.emit("shelf.x", b"live")
        client = await house.attach(ann, session)
        assert said(await client.take(2)) == [("shelf.x", b"so"), ("shelf.x", b"live")]
        await house.sessions.configure(ann, session, specs("shelf.x", "shelf.y"))
        assert said(await client.take(1)) == [("shelf.y", b"so too")]

    live(story)


def test_a_feed_that_was_cut_and_one_that_gives_up(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.x", "shelf.y"), 60.0)).id
        client = await house.attach(ann, session)
        house.shelf.sinks["shelf.x"].gap("shelf.x", "reconnected")
        house.shelf.sinks["shelf.y"].failed("for good")
        gap, unbound = await client.take(2)
        assert (gap.kind, gap.subject, gap.detail["reason"]) == ("gap", "shelf.x", "reconnected")
        assert (unbound.kind, unbound.subject, unbound.detail["reason"]) == ("unbound", "shelf.y", "for good")
        assert list(house.shelf.sinks) == ["shelf.x"]
        info = house.sessions.info(ann, session)
        assert ([spec.pattern for spec in info.patterns], info.version) == (["shelf.x"], 2)

    live(story)


def test_a_restart_says_whether_messages_were_missed(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.x", "shelf.*.log"), 60.0)).id
        await house.down()
        await house.up()
        info = house.sessions.info(ann, session)
        assert not info.recovered
        assert "shelf.x" in info.recovered_why
        assert "shelf.*.log" not in info.recovered_why
        assert "shelf.x" in house.sessions.recovery(house.sessions.core.find(ann, session))
        assert house.sessions.info(ann, session).recovered, "told once"

    live(story)


# providers


def test_removing_a_provider_of_a_hundred_sessions(
    live: Live, ann: Stranger, client_type: type[Client], house_type: type[House]
) -> None:
    async def story(house: House) -> None:
        shelf = house_type().shelf
        await house.sessions._add("other", shelf)
        shelf.append("other.a.log", b"x")
        ids = []
        clients = []
        for number in range(100):
            ids.append((await house.sessions.new(ann, specs("other.>", f"other.{number}", "shelf.s"), 60.0)).id)
            clients.append(await house.attach(ann, ids[-1]))
        removal = await house.sessions.remove_provider("other", "retired")
        assert removal.sessions == 100
        assert shelf.stopped == 1
        house.shelf.emit("shelf.s", b"goes on")
        for number, client in enumerate(clients):
            got = [message for message in await client.take() if message.subject != "other.a.log"]
            assert [(m.kind, m.subject) for m in got] == [
                ("unbound", "other.>"),
                ("unbound", f"other.{number}"),
                ("message", "shelf.s"),
            ]
            assert got[0].detail == {
                "reason": "the provider other was removed: retired",
                "subjects": ["other.a.log"],
                "count": 1,
            }
        with pytest.raises(NotFound):
            await house.sessions.remove_provider("other")
        await house.down()
        await house.up()
        assert all(len(house.sessions.info(ann, one).patterns) == 1 for one in ids)

    live(story)


def test_what_is_removed_forgets_and_what_goes_with_the_node_does_not(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        forgotten: list[str] = []

        class Noting(BaseProvider):
            def __init__(self, name: str) -> None:
                self._name = name

            async def forget(self) -> None:
                forgotten.append(self._name)

        for name in ("one", "two"):
            await house.sessions._add(name, Noting(name))
        await house.sessions.remove_provider("one")
        await house.down()
        assert forgotten == ["one"]
        await house.up()

    live(story)


def test_a_provider_that_hangs_can_be_removed(live: Live, ann: Stranger, house_type: type[House]) -> None:
    async def story(house: House) -> None:
        shelf = house_type().shelf
        shelf.held = asyncio.Event()
        await house.sessions._add("other", shelf)
        new = asyncio.create_task(house.sessions.new(ann, specs("other.x"), 60.0))
        await settled()
        await house.sessions.remove_provider("other")
        with pytest.raises(NotFound, match="other was removed"):
            await new
        assert shelf.stopped == 1

    live(story)


def test_what_other_peoples_providers_throw_is_named_and_breaks_nothing(
    live: Live, ann: Stranger, house_type: type[House]
) -> None:
    async def story(house: House) -> None:
        house.shelf.fails = {"shelf.bad": ValueError("oops"), "shelf.out": Unavailable("no feed today")}
        session = (await house.sessions.new(ann, specs("shelf.ok"), 60.0)).id
        with pytest.raises(InternalError, match=r"shelf\.bad: .*ValueError: oops"):
            await house.sessions.configure(ann, session, specs("shelf.bad"))
        with pytest.raises(Unavailable, match=r"shelf\.out: no feed today"):
            await house.sessions.configure(ann, session, specs("shelf.ok", "shelf.more", "shelf.out"))
        await settled()
        house.clock.advance(10.0)
        house.sessions._mailbox._tick()
        await settled()
        assert list(house.shelf.sinks) == ["shelf.ok"], "what was opened for it is closed after a linger"
        broken = house_type().shelf
        broken.fails = {"start": OSError("no such device")}
        with pytest.raises(InternalError, match="no such device"):
            await house.sessions._add("broken", broken)
        assert [info.name for info in house.sessions.providers()] == ["shelf"]
        with pytest.raises(NotFound):
            await house.sessions.publish(ann, Message("nix.x"))
        with pytest.raises(UsageError):
            await house.sessions.publish(ann, Message("shelf.*"))

    with capture_logs() as logs:
        live(story)
    assert any(line["event"] == "sessions.provider_failed" for line in logs)


# lives


def test_ten_thousand_ghosts_are_reaped_logged_and_leave_nothing(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        kept = (await house.sessions.new(ann, specs("shelf.>"), 0)).id
        for start in range(0, 10_000, 500):
            own = f"shelf.{start}"
            wanted = specs("shelf.>", own, snapshot=False)
            await asyncio.gather(*(house.sessions.new(ann, wanted, 30.0) for _ in range(500)))
        assert house.sessions.stats().sessions == 10_001
        assert len(house.shelf.sinks) == 21
        house.clock.advance(31.0)
        house.sessions._mailbox._tick()
        while house.sessions.stats().sessions > 1 or len(await house.engine.kv.list("sessions/")) > 1:
            await settled()
        house.clock.advance(100.0)
        house.sessions._mailbox._tick()
        await settled()
        assert list(house.shelf.sinks) == ["shelf.>"], "feeds that nobody needs are closed"
        assert house.sessions.stats().reaped == 10_000
        assert list(house.sessions._performer.outlets) == [kept]
        assert not house.sessions._store._last
        assert not house.sessions._performer._feeder._work
        assert len(house.sessions.core._book._idle) == 0
        assert house.sessions.core._book._by_owner == {"ann": 1}
        gc.collect()
        left = [one for one in gc.get_objects() if isinstance(one, Session | Outlet)]
        assert len(left) == 2, "one session and its outlet"

    gc.disable()  # what it costs to look through so many tasks again and again is none of ours
    try:
        with capture_logs() as logs:
            live(story)
    finally:
        gc.enable()
    closed = {line["session"]: line for line in logs if line["event"] == "session.closed"}
    assert len(closed) == 10_000
    assert all(line["reason"] == "idle for 30 s" for line in closed.values())


def test_closing_forgets_everything_also_what_is_stored(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"x")
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        await client.take(1)
        await house.sessions.ack(ann, session, 1, 1)
        assert len(await house.engine.kv.list("session-cursors/")) == 1
        await house.sessions.end(ann, session, "bye")
        await client.take()
        assert "bye" in str(client.error)
        assert await house.engine.kv.list("session") == []
        with pytest.raises(SessionNotFound):
            await house.sessions.ack(ann, session, 1, 1)
        await house.engine.kv.put("session-cursors/orphan/shelf.a.log", b"1")
        await house.down()
        await house.up()
        assert await house.engine.kv.list("session") == [], "a cursor without its session is cleared away"

    live(story)


def test_acknowledging(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"x", b"y")
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        with pytest.raises(ClientNotAttached):
            await house.sessions.ack(ann, session, 1, 0)
        client = await house.attach(ann, session)
        await client.take(2)
        with pytest.raises(UsageError, match="count"):
            await house.sessions.ack(ann, session, 1, 3)
        with pytest.raises(UsageError, match="negative"):
            await house.sessions.ack(ann, session, 1, -1)
        with pytest.raises(ClientNotAttached):
            await house.sessions.ack(ann, session, 2, 1)
        await house.sessions.ack(ann, session, 1, 2)
        await house.sessions.ack(ann, session, 1, 1)
        assert house.sessions.info(ann, session).cursors[0].position == 2, "cumulative, and never back"
        with pytest.raises(SessionNotFound):
            await house.sessions.ack(Stranger("eve"), session, 1, 1)

    live(story)


def test_what_a_full_store_did_not_take_is_not_called_acknowledged(
    live: Live, ann: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"0", b"1", b"2")
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        await client.take(3)

        async def full(key: str, value: bytes) -> None:
            raise StorageError("disk full")

        with monkeypatch.context() as broken:
            broken.setattr(house.engine.kv, "put", full)
            for _ in range(2):
                with pytest.raises(StorageError):
                    await house.sessions.ack(ann, session, 1, 2)
        await house.sessions.ack(ann, session, 1, 2)
        await house.down()
        await house.up()
        client = await house.attach(ann, session)
        assert said(await client.take(1)) == [("shelf.a.log", b"2")]

    live(story)


def test_a_full_store_refuses_and_changes_nothing(live: Live, ann: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.a"), 60.0)).id
        house.engine._store.max_bytes = 1
        with pytest.raises(StorageError):
            await house.sessions.configure(ann, session, specs("shelf.b"))
        with pytest.raises(StorageError):
            await house.sessions.new(ann, specs("shelf.c"), 60.0)
        assert house.sessions.stats().sessions == 1
        assert list(house.shelf.sinks) == ["shelf.a"]
        house.engine._store.max_bytes = None
        assert (await house.sessions.configure(ann, session, specs("shelf.b"))).version == 2

    live(story)


@pytest.mark.parametrize("steps", range(6))
def test_who_gives_up_attaching_leaves_no_client_behind(live: Live, ann: Stranger, steps: int) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        attaching = asyncio.ensure_future(house.attach(ann, session))
        for _ in range(steps):
            await asyncio.sleep(0)
        given_up = attaching.cancel()
        await asyncio.gather(attaching, return_exceptions=True)
        await settled()
        info = house.sessions.info(ann, session)
        assert info.attached is not given_up
        assert bool(info.expires_at) is given_up, "the idle timer runs again"

    live(story)


def test_a_full_mailbox_makes_callers_wait_not_fail(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        session = (await house.sessions.new(ann, specs("shelf.a"), 60.0)).id
        changes = await asyncio.gather(
            *(house.sessions.configure(ann, session, specs(f"shelf.{number}")) for number in range(50))
        )
        assert [change.version for change in changes] == list(range(2, 52))

    live(story, session_commands_max=2)


def test_after_the_end_nothing_is_answered_with_a_hang(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        await house.down()
        with pytest.raises(ClosedError):
            await house.sessions.new(ann, [], 60.0)
        await house.down()
        await house.up()

    live(story)


def test_a_source_that_is_shorter_than_the_cursor_is_given_from_its_beginning(live: Live, ann: Stranger) -> None:
    async def story(house: House) -> None:
        house.shelf.append("shelf.a.log", b"1", b"2", b"3")
        session = (await house.sessions.new(ann, specs("shelf.>"), 60.0)).id
        client = await house.attach(ann, session)
        await client.take(3)
        await house.sessions.ack(ann, session, 1, 3)
        await house.down()
        house.shelf.logs["shelf.a.log"] = [b"anew"]
        await house.up()
        client = await house.attach(ann, session)
        gap, message = await client.take(2)
        assert (gap.kind, message.payload) == ("gap", b"anew")
        assert "before 3" in gap.detail["reason"]

    live(story)


def test_a_provider_that_does_not_come_back_holds_up_nobody_and_is_tried_again(
    live: Live, ann: Stranger, house_type: type[House], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = house_type().shelf
    made: list[str] = []

    def make(kind: str, name: str, options: Any, context: Any) -> Any:
        made.append(name)
        return shelf

    monkeypatch.setattr(registry, "make", make)
    monkeypatch.setattr(actor, "_START_S", 0.01)
    monkeypatch.setattr(actor, "_RETRY_S", 0.01)

    async def story(house: House) -> None:
        await house.sessions.add_provider("other", "made-up", {"a": "b"})
        session = (await house.sessions.new(ann, specs("other.x"), 60.0)).id
        await house.down()
        shelf.fails = {"start": Unavailable("not yet")}
        await house.up()
        while len(made) < 4:
            await asyncio.sleep(0.001)
        (info,) = [one for one in house.sessions.providers() if one.name == "other"]
        assert (info.state, info.error, info.options) == ("failed", "not yet", {"a": "b"})
        shelf.fails = {}
        while not shelf.sinks:
            await asyncio.sleep(0.001)
        client = await house.attach(ann, session)
        shelf.emit("other.x", b"back")
        assert said(await client.take(1)) == [("other.x", b"back")]
        await house.down()
        shelf.held_start = asyncio.Event()
        await house.up()
        assert house.sessions.info(ann, session).id == session, "there, though a provider hangs"
        shelf.held_start.set()
        while not shelf.sinks:
            await asyncio.sleep(0.001)

    live(story)
