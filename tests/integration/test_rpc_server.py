"""Serving on a unix socket: who is let in, what strangers get, what is left behind."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import (
    BusyError,
    DisconnectedError,
    HoldfastError,
    LimitExceeded,
    PermissionDenied,
    Unavailable,
    UsageError,
    from_wire,
)
from holdfast.limits import LIMITS, Limits
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.dial import dial_unix
from holdfast.rpc.aio.server import Server, UidOf, serve_unix
from holdfast.rpc.bodies import JsonCodec
from holdfast.rpc.events import Reply, RequestReceived
from holdfast.rpc.frames import PREAMBLE, FrameReader, FrameType, encode_frame
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.handshake.hello import our_hello
from holdfast.rpc.sockets.unix import listen_unix, peer_uid

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Handler:
    """Answers ``echo``; ``wait`` waits for ever."""

    def __init__(self, log: list[str], release: asyncio.Event) -> None:
        self._log = log
        self._release = release

    async def handle(self, request: RequestReceived) -> Reply:
        if request.method == "wait":
            self._log.append("waiting")
            try:
                await self._release.wait()
            except asyncio.CancelledError:
                self._log.append("cancelled")
                raise
        return Reply(request.params, request.attachment)

    def closed(self) -> None:
        self._log.append("closed")


class Serving:
    """A server, and what its handlers went through."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.log: list[str] = []
        self.release = asyncio.Event()
        self.server: Server

    async def start(self, limits: Limits, uid_of: UidOf) -> None:
        self.server = await serve_unix(
            self.path,
            make_authenticator=lambda uid: LocalOwner(os.getuid(), uid),
            make_handler=lambda _connection: Handler(self.log, self.release),
            limits=limits,
            uid_of=uid_of,
        )

    async def dial(self) -> AsyncConnection:
        return await dial_unix(self.path, LocalClient())

    async def still_serves(self) -> None:
        """Fails unless a new client is answered."""
        async with await self.dial() as client:
            assert (await client.call("echo", {"a": 1})).result == {"a": 1}


@asynccontextmanager
async def serving(directory: Path, limits: Limits = LIMITS, uid_of: UidOf = peer_uid) -> AsyncIterator[Serving]:
    it = Serving(str(directory / "s"))
    await it.start(limits, uid_of)
    async with it.server:
        yield it


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds."""
    while not condition():
        await asyncio.sleep(0)


# the socket file


def test_the_socket_is_its_owners_alone_and_goes_away_with_the_server(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            mode = os.stat(it.path).st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
            await it.still_serves()
        assert not os.path.exists(it.path)
        with pytest.raises(Unavailable):
            await it.dial()

    run_on_both(main())


def test_a_socket_nobody_answers_on_is_replaced(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_dir / "s"))
        async with serving(socket_dir) as it:
            await it.still_serves()

    run(main())


def test_a_socket_somebody_answers_on_is_left_alone(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            with pytest.raises(BusyError):
                await Serving(it.path).start(LIMITS, peer_uid)
            await it.still_serves()

    run(main())


def test_a_busy_listener_with_a_full_queue_counts_as_somebody(socket_dir: Path) -> None:
    path = str(socket_dir / "s")
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(path)
        with pytest.raises(BusyError):
            listen_unix(path)
        for sock in waiting:
            sock.close()


def test_of_many_that_start_at_once_over_a_stale_socket_one_wins(socket_dir: Path) -> None:
    path = str(socket_dir / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    won: list[socket.socket] = []
    lost: list[HoldfastError] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        try:
            won.append(listen_unix(path))
        except HoldfastError as error:
            lost.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert all(isinstance(error, BusyError) for error in lost)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    won[0].close()


def test_anything_but_a_socket_is_left_alone(socket_dir: Path) -> None:
    path = socket_dir / "s"
    path.write_text("precious")
    with pytest.raises(UsageError, match="not a socket") as caught:
        listen_unix(str(path))
    assert caught.value.field == "path"
    assert path.read_text() == "precious"


@pytest.mark.parametrize("path", ["/tmp/" + "x" * 103, "/nowhere/at/all/s"])
def test_a_path_that_cannot_be_listened_at_is_refused(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        listen_unix(path)
    assert caught.value.field == "path"


def test_a_path_that_is_too_long_names_the_limit() -> None:
    with pytest.raises(UsageError, match=r"107|103"):
        listen_unix("/tmp/" + "x" * 103)


def test_a_socket_that_took_our_place_is_not_removed(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            os.unlink(it.path)
            successor = listen_unix(it.path)
            await it.server.close()
            assert os.path.exists(it.path)
            successor.close()

    run(main())


# who is let in


def test_a_foreign_user_is_refused_by_name(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir, uid_of=lambda _sock: 12345) as it:
            with pytest.raises(PermissionDenied, match="12345"):
                await it.dial()
        async with serving(socket_dir, uid_of=lambda _sock: None) as it:
            with pytest.raises(PermissionDenied):
                await it.dial()
        assert it.log == []

    run_on_both(main())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_real_foreign_user_is_refused(run: Run, socket_dir: Path) -> None:
    """Even one who gets past the modes of directory and socket, which are opened wide here."""

    async def main() -> None:
        async with serving(socket_dir) as it:
            os.chmod(socket_dir, 0o755)
            os.chmod(it.path, 0o666)
            status = await asyncio.to_thread(_dial_as_nobody, it.path)
            assert status == 5

    run(main())


def _dial_as_nobody(path: str) -> int:
    """Exit status of a child that says hello as user nobody: the exit code of the error it got."""
    script = (
        "import os, sys; from holdfast.rpc.blocking.connection import BlockingConnection;"
        "from holdfast.rpc.handshake.authenticators import LocalClient;"
        "from holdfast.errors import HoldfastError, exit_code_of\n"
        f"os.setgid({pwd.getpwnam('nobody').pw_gid}); os.setuid({pwd.getpwnam('nobody').pw_uid})\n"
        "try: BlockingConnection.dial_unix(sys.argv[1], LocalClient())\n"
        "except HoldfastError as error: sys.exit(exit_code_of(error))"
    )
    return subprocess.run([sys.executable, "-c", script, path], check=False).returncode


def test_over_the_limit_clients_are_told_when_to_come_back(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir, LIMITS._replace(connections_max=2)) as it:
            async with await it.dial() as first, await it.dial():
                with pytest.raises(Unavailable) as caught:
                    await it.dial()
                assert caught.value.retry_after_s > 0
                cause = caught.value.__cause__
                assert isinstance(cause, LimitExceeded)
                assert (cause.name, cause.limit) == ("connections_max", 2)
                assert (await first.call("echo", {})).result == {}
            await until(lambda: not it.server.connections)
            await it.still_serves()

    run(main())


# strangers


async def said_to(path: str, sent: bytes) -> HoldfastError | None:
    """The reason of the goodbye that ``sent`` is answered with; None if the server just closed."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    goodbyes = [
        frame for frame in FrameReader(LIMITS.frame_bytes_max).frames(answer) if frame.type == FrameType.GOODBYE
    ]
    return from_wire(JsonCodec().decode(goodbyes[0].body)) if goodbyes else None


_HELLO = encode_frame(FrameType.HELLO, 0, JsonCodec().encode(our_hello("client", ()).body()))
_AUTH = encode_frame(FrameType.AUTH, 0, b'{"method":"local"}')
_OPEN = PREAMBLE + _HELLO + _AUTH


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "preamble"),
        (b"\x00" * 64, "preamble"),
        (PREAMBLE + b"\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00", "frame-too-large"),
        (PREAMBLE + b"\x00\x00\x00\x01\x01", "malformed"),
        (PREAMBLE + encode_frame(0x55), "unknown-type"),
        (PREAMBLE + encode_frame(FrameType.REQUEST, 1, b"{}"), "not-open"),
        (PREAMBLE + encode_frame(FrameType.HELLO, 0, b"{nope"), "malformed"),
        (PREAMBLE + encode_frame(FrameType.HELLO, 0, b"[]"), "malformed"),
        (_OPEN + encode_frame(FrameType.REQUEST, 1, b"\xff\xfe"), "malformed"),
        (_OPEN + encode_frame(FrameType.REQUEST, 1, b'{"method":3}'), "malformed"),
        (_OPEN + encode_frame(FrameType.RESPONSE, 7, b"{}"), "unknown-call"),
        (_OPEN + encode_frame(FrameType.DATA, 1, b"123"), "malformed"),
        (_OPEN + encode_frame(FrameType.ACK, 1, b"123"), "malformed"),
        (_OPEN + encode_frame(FrameType.PING, 0, b"1"), "malformed"),
        (_OPEN + _HELLO, "wrong-state"),
    ],
)
def test_malformed_bytes_get_a_named_goodbye_and_the_server_lives_on(
    run: Run, socket_dir: Path, sent: bytes, reason: str
) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            error = await said_to(it.path, sent)
            assert getattr(error, "reason", None) == reason, error
            await it.still_serves()

    run(main())


def test_a_client_that_says_nothing_is_let_go_at_the_handshake_limit(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir, LIMITS._replace(handshake_s=0.02)) as it:
            for sent in (b"", PREAMBLE, PREAMBLE + _HELLO):
                error = await said_to(it.path, sent)
                assert error is not None
                assert getattr(error, "phase", None) == "handshake"
            await until(lambda: not it.server.connections)

    run_on_both(main())


def test_a_thousand_abrupt_ends_leave_nothing(run: Run, socket_dir: Path) -> None:
    beginnings = (b"", PREAMBLE, _OPEN, _OPEN + encode_frame(FrameType.REQUEST, 1, b'{"method":"wait"}'), b"garbage")

    async def main() -> None:
        async with serving(socket_dir) as it:
            fds = len(os.listdir("/dev/fd"))
            for index in range(1000):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(it.path)
                    sock.sendall(beginnings[index % len(beginnings)])
                if index % 50 == 0:
                    await asyncio.sleep(0)
            await until(lambda: not it.server.connections)
            assert len(os.listdir("/dev/fd")) == fds
            assert len(asyncio.all_tasks()) == 1
            assert it.log.count("waiting") == it.log.count("cancelled")
            await it.still_serves()

    run(main())


# the end


def test_a_client_that_leaves_has_its_calls_cancelled(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            client = await it.dial()
            call = asyncio.create_task(client.call("wait", {}))
            await until(lambda: it.log)
            client.wire.abort()
            await until(lambda: not it.server.connections)
            assert it.log == ["waiting", "cancelled", "closed"]
            with pytest.raises(DisconnectedError):
                await call

    run_on_both(main())


def test_draining_lets_calls_end_and_takes_nobody_new(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            client = await it.dial()
            call = asyncio.create_task(client.call("wait", {"a": 1}))
            await until(lambda: it.log)
            draining = asyncio.create_task(it.server.drain(30.0))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable):
                await it.dial()
            assert not draining.done()
            it.release.set()
            await draining
            assert (await call).result == {"a": 1}
            assert it.log == ["waiting", "closed"]
            assert client.retry_after_s > 0
            await client.wait_closed()

    run(main())


def test_draining_gives_up_at_its_timeout(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            client = await it.dial()
            call = asyncio.create_task(client.call("wait", {}))
            await until(lambda: it.log)
            await it.server.drain(0.01)
            assert it.log == ["waiting", "cancelled", "closed"]
            with pytest.raises(DisconnectedError):
                await call
            await client.wait_closed()

    run(main())


def test_a_peer_that_does_not_read_cannot_hold_up_the_end(run_on_both: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir, LIMITS._replace(goodbye_s=0.02)) as it:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(it.path)
                body = b'{"method":"echo","params":{"x":"' + b"x" * 300_000 + b'"}}'
                asks = b"".join(encode_frame(FrameType.REQUEST, number, body) for number in range(1, 5))
                await asyncio.to_thread(sock.sendall, _OPEN + asks)
                (connection,) = it.server.connections
                await until(lambda: connection.core.calls_incoming == 0 < connection.core.control_bytes_queued)
                await it.server.close()
                assert not it.server.connections

    run_on_both(main())


def test_closing_twice_and_cancelling_a_close_are_fine(run: Run, socket_dir: Path) -> None:
    async def main() -> None:
        async with serving(socket_dir) as it:
            client = await it.dial()
            closing = asyncio.create_task(it.server.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            await it.server.close()
            await it.server.close()
            await client.wait_closed()

    run(main())
