"""AsyncConnection over real unix sockets: calls, events, cancellation, deadlines, cuts."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from holdfast.clock import Clock, VirtualClock
from holdfast.errors import (
    BusyError,
    ClosedError,
    Conflict,
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    InternalError,
    LimitExceeded,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UsageError,
)
from holdfast.limits import LIMITS, Limits
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.server import Server, serve_unix
from holdfast.rpc.commands import Commands, invoke, within
from holdfast.rpc.dispatch import Dispatcher
from holdfast.rpc.events import EventReceived, Reply, RequestReceived
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.handshake.job_link import JobLinkKeeper, JobLinkNode

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class EchoHandler:
    """Answers a few methods; remembers what became of the ones that wait."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()
        self.ended: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.closed_times = 0

    async def handle(self, request: RequestReceived) -> Reply:
        if request.method == "echo":
            return Reply(request.params, request.attachment)
        if request.method == "wait":
            return await self._wait()
        if request.method == "raise":
            raise self.errors[request.params["name"]]
        if request.method == "unsendable":
            return Reply(object())
        if request.method == "push":
            for index in range(request.params["count"]):
                self.connection.emit(request.number, "tick", index, b"x")
            self.connection.emit(0, "tock", None)
            return Reply("pushed")
        if request.method == "swallow":
            return await self._swallow()
        raise NotFound(kind="method", name=request.method)

    def closed(self) -> None:
        self.closed_times += 1

    async def _wait(self) -> Reply:
        self.waiting.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # tidying up takes a turn
            self.ended.append("cancelled")
            raise
        self.ended.append("released")
        return Reply("released")

    async def _swallow(self) -> Reply:
        inner = asyncio.ensure_future(asyncio.sleep(60))
        inner.cancel()
        await inner
        raise AssertionError("unreachable")


class Pair:
    """Two connected ends; ``handler`` answers ``client``, ``client_handler`` answers the server."""

    def __init__(self, client: AsyncConnection, handler: EchoHandler, server: Server) -> None:
        self.client = client
        self.handler = handler
        self.server = server
        self.accepted = handler.connection


@asynccontextmanager
async def a_pair(
    directory: Path,
    limits: Limits = LIMITS,
    *,
    client_limits: Limits | None = None,
    client_clock: Clock | None = None,
    make_client_handler: Callable[[AsyncConnection], Any] | None = None,
) -> AsyncIterator[Pair]:
    handlers: list[EchoHandler] = []

    def make_handler(connection: AsyncConnection) -> EchoHandler:
        handlers.append(EchoHandler(connection))
        return handlers[-1]

    path = str(directory / "s")
    async with (
        await serve_unix(
            path, make_authenticator=lambda uid: LocalOwner(os.getuid(), uid), make_handler=make_handler, limits=limits
        ) as server,
        await dial_unix(
            path,
            LocalClient(),
            limits=client_limits or limits,
            clock=client_clock,
            make_handler=make_client_handler,
        ) as client,
    ):
        yield Pair(client, handlers[0], server)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds."""
    while not condition():
        await asyncio.sleep(0)


def test_a_call_and_its_answer(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            assert str(pair.client.link) == "open"
            assert pair.client.identity == pair.accepted.identity == f"local:{os.getuid()}"
            reply = await pair.client.call("echo", {"a": [1, "ü", None]}, b"\x00raw")
            assert reply == ({"a": [1, "ü", None]}, b"\x00raw")
        assert str(pair.client.link) == "closed"
        assert pair.handler.closed_times == 1

    run_on_both(main())


def test_many_calls_at_once_each_get_their_own_answer(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            calls = [pair.client.call("echo", {"i": i}, str(i).encode() * i) for i in range(200)]
            assert await asyncio.gather(*calls) == [({"i": i}, str(i).encode() * i) for i in range(200)]

    run_on_both(main())


def test_a_call_that_waits_holds_up_no_other(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            waiting = asyncio.create_task(pair.client.call("wait", {}))
            await pair.handler.waiting.wait()
            assert (await pair.client.call("echo", {"x": 1})).result == {"x": 1}
            pair.handler.release.set()
            assert (await waiting).result == "released"

    run(main())


def test_large_attachments_go_both_ways(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        data = os.urandom(LIMITS.frame_bytes_max - 1024)
        async with a_pair(socket_dir) as pair:
            replies = await asyncio.gather(*(pair.client.call("echo", {}, data) for _ in range(4)))
            assert all(reply.attachment == data for reply in replies)
            with pytest.raises(LimitExceeded, match="frame_bytes_max"):
                await pair.client.call("echo", {}, data + data)
            with pytest.raises(LimitExceeded, match="request_bytes_max"):
                await pair.client.call("echo", {"text": "x" * LIMITS.request_bytes_max})

    run_on_both(main())


@pytest.mark.parametrize(
    "error",
    [
        BusyError("taken", holder="me"),
        Conflict(expected=3, actual=4),
        RateLimited("slow down", name="sends", limit=5, value=6, retry_after_s=1.5),
        UsageError("bad", field="spec.command[0]"),
    ],
)
def test_typed_errors_cross_the_wire_with_their_fields(run: Run, socket_dir: Path, error: HoldfastError) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            pair.handler.errors["it"] = error
            with pytest.raises(type(error)) as caught:
                await pair.client.call("raise", {"name": "it"})
            assert caught.value.details() == error.details()
            assert caught.value.message == error.message

    run(main())


@pytest.mark.parametrize("method", ["raise", "unsendable", "swallow"])
def test_a_mistake_in_a_handler_is_internal_and_ends_only_its_call(run: Run, socket_dir: Path, method: str) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            pair.handler.errors["it"] = RuntimeError("a secret")
            with pytest.raises(InternalError) as caught:
                await pair.client.call(method, {"name": "it"})
            assert "secret" not in caught.value.message
            assert (await pair.client.call("echo", {})).result == {}

    run(main())


def test_cancelling_a_call_cancels_its_handler(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            call = asyncio.create_task(pair.client.call("wait", {}))
            await pair.handler.waiting.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: pair.handler.ended)
            assert pair.handler.ended == ["cancelled"]
            assert pair.client.core.calls_outgoing == pair.accepted.core.calls_incoming == 0
            assert (await pair.client.call("echo", {})).result == {}

    run_on_both(main())


def test_cancelling_a_call_at_any_point_leaves_nothing(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            finished = False
            turns = 0
            while not finished:
                call = asyncio.create_task(pair.client.call("echo", {"turns": turns}))
                for _ in range(turns):
                    await asyncio.sleep(0)
                finished = call.done()
                call.cancel()
                await asyncio.wait([call])
                turns += 1
            assert turns > 2
            await pair.client.call("echo", {})
            assert pair.client.core.calls_outgoing == pair.accepted.core.calls_incoming == 0

    run(main())


def test_a_deadline_ends_the_call_here_and_the_handler_there(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            with pytest.raises(DeadlineExceeded) as caught:
                await pair.client.call("wait", {}, deadline_s=0.02)
            assert caught.value.phase in {"call", "handler"}  # whichever clock was first
            await until(lambda: pair.handler.ended)
            assert pair.handler.ended == ["cancelled"]
            assert (await pair.client.call("echo", {}, deadline_s=60.0)).result == {}

    run(main())


def test_the_handler_keeps_the_deadline_even_if_the_caller_does_not(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir, client_clock=VirtualClock()) as pair:
            with pytest.raises(DeadlineExceeded) as caught:
                await pair.client.call("wait", {}, deadline_s=0.02)
            assert caught.value.phase == "handler"
            await until(lambda: pair.handler.ended)
            assert pair.handler.ended == ["cancelled"]

    run(main())


def test_events_on_a_call_and_on_the_connection(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            ticks: list[EventReceived] = []
            tocks: list[EventReceived] = []
            pair.client.on_connection_event(tocks.append)
            assert (await pair.client.call("push", {"count": 500}, on_event=ticks.append)).result == "pushed"
            assert [(tick.name, tick.body, tick.attachment) for tick in ticks] == [
                ("tick", i, b"x") for i in range(500)
            ]
            assert [(tock.number, tock.name) for tock in tocks] == [(0, "tock")]
            pair.client.on_connection_event(None)
            await pair.client.call("push", {"count": 1})
            assert len(tocks) == 1

    run_on_both(main())


def test_a_callback_that_fails_does_not_take_the_connection_down(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        seen: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(str(context["exception"])))

        def fail(_event: EventReceived) -> None:
            raise RuntimeError("callback")

        async with a_pair(socket_dir) as pair:
            await pair.client.call("push", {"count": 2}, on_event=fail)
            assert seen == ["callback", "callback"]
            assert (await pair.client.call("echo", {})).result == {}

    run(main())


def test_a_flood_of_events_is_bounded_and_drained_waits(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        limits = LIMITS._replace(control_queue_bytes_max=64 * 1024)
        async with a_pair(socket_dir, limits) as pair:
            got: list[int] = []
            pair.client.on_connection_event(lambda event: got.append(event.body))
            sent = 0
            with pytest.raises(LimitExceeded, match="control_queue_bytes_max"):
                while True:
                    pair.accepted.emit(0, "flood", sent, b"x" * 1000)
                    sent += 1
            assert sent < 100
            await pair.accepted.drained()
            assert pair.accepted.core.control_bytes_queued == 0
            await until(lambda: len(got) == sent)
            assert got == list(range(sent))

    run(main())


def test_too_many_calls_are_refused_by_the_peer_too(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        limits = LIMITS._replace(calls_in_flight_max=2)
        async with a_pair(socket_dir, limits, client_limits=LIMITS) as pair:
            waiting = [asyncio.create_task(pair.client.call("wait", {})) for _ in range(2)]
            await until(lambda: pair.accepted.core.calls_incoming == 2)
            with pytest.raises(LimitExceeded) as caught:
                await pair.client.call("wait", {})
            assert (caught.value.name, caught.value.limit) == ("calls_in_flight_max", 2)
            pair.handler.release.set()
            await asyncio.gather(*waiting)

    run(main())


def test_a_cut_fails_every_call_as_disconnected(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            calls = [asyncio.create_task(pair.client.call("wait", {})) for _ in range(3)]
            await pair.handler.waiting.wait()
            pair.accepted.wire.abort()
            for call in calls:
                with pytest.raises(DisconnectedError):
                    await call
            await pair.client.wait_closed()
            await pair.accepted.wait_closed()
            assert pair.handler.ended == ["cancelled"] * 3
            assert pair.handler.closed_times == 1
            with pytest.raises(DisconnectedError):
                await pair.client.call("echo", {})
            with pytest.raises(DisconnectedError):
                await pair.client.drained()
            assert isinstance(pair.client.closed_by, DisconnectedError)

    run_on_both(main())


def test_closing_this_end_fails_its_calls_as_closed(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            call = asyncio.create_task(pair.client.call("wait", {}))
            await pair.handler.waiting.wait()
            pair.client.close()
            pair.client.close()
            with pytest.raises(ClosedError):
                await call
            with pytest.raises(ClosedError):
                await pair.client.call("echo", {})
            with pytest.raises(ClosedError):
                pair.client.open_reader()
            await pair.accepted.wait_closed()
            assert pair.handler.ended == ["cancelled"]

    run(main())


def test_a_goodbye_says_why_and_when_to_come_back(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            call = asyncio.create_task(pair.client.call("wait", {}))
            await pair.handler.waiting.wait()
            pair.accepted.close(Unavailable("going down", address="x"), retry_after_s=2.5)
            with pytest.raises(DisconnectedError, match="going down") as caught:
                await call
            assert isinstance(caught.value.__cause__, Unavailable)
            assert pair.client.retry_after_s == 2.5
            await pair.client.wait_closed()

    run(main())


def test_answers_given_before_the_goodbye_arrive(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir) as pair:
            call = asyncio.create_task(pair.client.call("wait", {}))
            await pair.handler.waiting.wait()
            pair.handler.release.set()
            await pair.accepted.answered()
            pair.accepted.close()
            assert (await call).result == "released"

    run(main())


def test_the_accepting_end_can_call_too(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with a_pair(socket_dir, make_client_handler=EchoHandler) as pair:
            assert (await pair.accepted.call("echo", {"to": "client"})).result == {"to": "client"}
        async with a_pair(socket_dir) as pair:
            with pytest.raises(NotFound):
                await pair.accepted.call("echo", {})

    run(main())


class SumsApi(Protocol):
    """Commands about numbers."""

    async def add(self, numbers: list[int], label: str = "") -> dict[str, int]:
        """Add them up."""
        ...

    async def reverse(self, data: bytes) -> bytes:
        """Turn it round."""
        ...


class Sums:
    async def add(self, numbers: list[int], label: str = "") -> dict[str, int]:
        if not numbers:
            await asyncio.Event().wait()
        return {label: sum(numbers)}

    async def reverse(self, data: bytes) -> bytes:
        return data[::-1]


SUMS = Commands("sums", SumsApi)


class DispatchingHandler:
    """What the node makes for each connection."""

    def __init__(self, _connection: AsyncConnection) -> None:
        self._dispatcher = Dispatcher()
        self._dispatcher.add(SUMS, Sums())

    async def handle(self, request: RequestReceived) -> Reply:
        return await self._dispatcher.handle(request)

    def closed(self) -> None:
        """Nothing to close."""


def test_typed_commands_from_end_to_end(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        path = str(socket_dir / "s")
        async with (
            await serve_unix(
                path,
                make_authenticator=lambda uid: LocalOwner(os.getuid(), uid),
                make_handler=DispatchingHandler,
            ),
            await dial_unix(path, LocalClient()) as client,
        ):
            assert await invoke(client, SumsApi.add, [1, 2], label="n") == {"n": 3}
            assert await invoke(client, SumsApi.reverse, b"abc") == b"cba"
            with pytest.raises(UsageError) as caught:
                await client.call("sums.add", {"numbers": [1, "2"]})
            assert caught.value.field == "numbers[1]"
            with pytest.raises(DeadlineExceeded):
                await invoke(within(client, 0.02), SumsApi.add, [])

    run_on_both(main())


# Dialing


def test_dialing_where_nobody_listens_is_unavailable(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        missing = str(socket_dir / "none")
        with pytest.raises(Unavailable) as caught:
            await dial_unix(missing, LocalClient())
        assert caught.value.address == missing
        left_behind = str(socket_dir / "dead")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(left_behind)
        with pytest.raises(Unavailable):
            await dial_unix(left_behind, LocalClient())
        with pytest.raises(UsageError, match=r"107|103"):
            await dial_unix("/tmp/" + "x" * 107, LocalClient())

    run_on_both(main())


@asynccontextmanager
async def a_mute_listener(path: str) -> AsyncIterator[socket.socket]:
    """Somebody who accepts and says nothing."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen(0)
        sock.setblocking(False)
        yield sock


def test_dialing_somebody_who_says_nothing_ends_at_the_handshake_limit(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        path = str(socket_dir / "mute")
        async with a_mute_listener(path):
            with pytest.raises(DeadlineExceeded) as caught:
                await dial_unix(path, LocalClient(), limits=LIMITS._replace(handshake_s=0.02))
            assert caught.value.phase == "handshake"

    run(main())


def test_a_full_queue_of_new_connections_is_waited_for(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        path = str(socket_dir / "mute")
        limits = LIMITS._replace(handshake_s=0.05)
        async with a_mute_listener(path):
            queued = [socket.socket(socket.AF_UNIX) for _ in range(3)]
            for sock in queued:
                sock.setblocking(False)
                sock.connect_ex(path)
            with pytest.raises(Unavailable, match="too many"):
                await dial_unix(path, LocalClient(), limits=limits)
            for sock in queued:
                sock.close()

    run(main())


def test_cancelling_a_dial_at_any_point_leaves_nothing(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        path = str(socket_dir / "s")
        async with await serve_unix(
            path, make_authenticator=lambda uid: LocalOwner(os.getuid(), uid), make_handler=EchoHandler
        ) as server:
            finished = False
            turns = 0
            while not finished:
                dial = asyncio.create_task(dial_unix(path, LocalClient()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                finished = dial.done()
                dial.cancel()
                await asyncio.wait([dial])
                if finished:
                    (await dial).close()
                turns += 1
            await until(lambda: not server.connections)

    run_on_both(main())


@pytest.mark.parametrize(
    ("job_id", "secret", "accepted"),
    [("job1", b"s" * 32, True), ("job1", b"t" * 32, False), ("job2", b"s" * 32, False)],
)
def test_a_keeper_link_opens_for_the_right_job_and_secret_only(
    run: Run, socket_dir: Path, job_id: str, secret: bytes, accepted: bool
) -> None:
    async def main() -> None:
        path = str(socket_dir / "s")
        async with await serve_unix(
            path,
            make_authenticator=lambda _uid: JobLinkKeeper("job1", b"s" * 32, os.urandom),
            make_handler=EchoHandler,
        ):
            dialing = dial_unix(path, JobLinkNode(job_id, secret, os.urandom))
            if not accepted:
                with pytest.raises(Unauthenticated):
                    await dialing
                return
            async with await dialing as connection:
                assert (await connection.call("echo", {})).result == {}

    run(main())
