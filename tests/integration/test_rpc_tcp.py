"""RPC over TCP and TLS, both shells: bytes arrive, strangers do not, certificates are checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from holdfast.errors import HoldfastError, ProtocolError, Unauthenticated, Unavailable, UsageError
from holdfast.paths import Address
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.tcp import dial_tcp, serve_tcp
from holdfast.rpc.blocking.tcp import dial_tcp as dial_tcp_blocking
from holdfast.rpc.events import Reply, RequestReceived
from holdfast.rpc.handshake.authenticators import BearerClient, BearerVerifier, LocalClient
from holdfast.rpc.sockets.tls import client_context, server_context
from holdfast.security.certificates import SelfSigned, self_signed
from holdfast.streams import Chunk

Run = Callable[[Coroutine[Any, Any, Any]], Any]

BIG = bytes(range(256)) * 3000
"""Fits a frame, and is many TLS records."""


class Friend(NamedTuple):
    name: str


def verify(token: str) -> Friend:
    if token != "good":
        raise Unauthenticated("not a good token")
    return Friend("friend")


class Echo:
    """Answers ``echo``; ``pour`` writes a lot to the caller's stream."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._pouring: set[asyncio.Task[None]] = set()

    async def handle(self, request: RequestReceived) -> Reply:
        if request.method == "pour":
            task = asyncio.create_task(self._pour(request.params["stream"]))
            self._pouring.add(task)
        return Reply(request.params, request.attachment)

    async def _pour(self, stream: int) -> None:
        writer = self._connection.open_writer(stream)
        try:
            for _ in range(8):
                await writer.write(BIG)
            await writer.close()
        except HoldfastError:
            return

    def closed(self) -> None:
        for task in self._pouring:
            task.cancel()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> SelfSigned:
    return self_signed(str(tmp_path_factory.mktemp("tls")), ["127.0.0.1", "localhost"], time.time())


@pytest.fixture(params=["tcp", "tls"])
def scheme(request: pytest.FixtureRequest) -> Any:
    return request.param


@asynccontextmanager
async def serving(scheme: Any, certificate: SelfSigned) -> AsyncIterator[Address]:
    tls = server_context(certificate.cert_file, certificate.key_file) if scheme == "tls" else None
    server = await serve_tcp(
        Address(scheme, host="127.0.0.1"),
        make_authenticator=lambda _peer: BearerVerifier(verify),
        make_handler=Echo,
        tls=tls,
    )
    async with server:
        yield Address(scheme, host="127.0.0.1", port=int(server.address.rpartition(":")[2]))


@contextmanager
def serving_beside(scheme: Any, certificate: SelfSigned) -> Iterator[Address]:
    """A server on a thread of its own, for clients that block."""
    found: list[Address] = []
    ready, stop = threading.Event(), threading.Event()

    async def main() -> None:
        async with serving(scheme, certificate) as where:
            found.append(where)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(30)
        yield found[0]
    finally:
        stop.set()
        thread.join()


def trusting(where: Address, certificate: SelfSigned) -> ssl.SSLContext | None:
    return client_context(certificate.cert_file) if where.scheme == "tls" else None


def test_calls_and_streams(run_on_both: Run, scheme: Any, certificate: SelfSigned) -> None:
    async def main() -> None:
        async with serving(scheme, certificate) as where:
            tls = trusting(where, certificate)
            async with await dial_tcp(where, BearerClient("good"), tls=tls) as client:
                assert client.identity == "friend"
                assert await client.call("echo", {"a": 1}, BIG) == Reply({"a": 1}, BIG)
                reader = client.open_reader()
                await client.call("pour", {"stream": reader.stream_id})
                reader.start()
                held = bytearray()
                while isinstance(item := await reader.read(), Chunk):
                    held += item.data
                assert held == BIG * 8

    run_on_both(main())


def test_calls_and_streams_blocking(scheme: Any, certificate: SelfSigned) -> None:
    with serving_beside(scheme, certificate) as where:
        ca_file = certificate.cert_file if scheme == "tls" else ""
        with dial_tcp_blocking(where, BearerClient("good"), ca_file=ca_file) as client:
            assert client.call("echo", {"a": 1}, BIG) == Reply({"a": 1}, BIG)
            reader = client.open_reader()
            client.call("pour", {"stream": reader.stream_id})
            reader.start(0)
            held = bytearray()
            while isinstance(item := reader.read(), Chunk):
                held += item.data
            assert held == BIG * 8


@pytest.mark.parametrize("authenticator", [BearerClient("bad"), BearerClient(lambda: ""), LocalClient()])
def test_without_a_good_token_nothing(
    run: Run, scheme: Any, certificate: SelfSigned, authenticator: BearerClient | LocalClient
) -> None:
    async def main() -> None:
        async with serving(scheme, certificate) as where:
            with pytest.raises(Unauthenticated):
                await dial_tcp(where, authenticator, tls=trusting(where, certificate))

    run(main())


def test_our_own_certificate_stands_a_strict_look(run: Run, certificate: SelfSigned) -> None:
    """What newer Pythons look at by default."""

    async def main() -> None:
        async with serving("tls", certificate) as where:
            strict = client_context(certificate.cert_file)
            strict.verify_flags |= ssl.VERIFY_X509_STRICT
            for host in ("127.0.0.1", "localhost"):
                async with await dial_tcp(where._replace(host=host), BearerClient("good"), tls=strict) as client:
                    assert client.identity == "friend"

    run(main())


def test_another_certificate_is_not_trusted(run_on_both: Run, certificate: SelfSigned, tmp_path: Path) -> None:
    other = self_signed(str(tmp_path / "other"), ["127.0.0.1"], time.time())

    async def main() -> None:
        async with serving("tls", certificate) as where:
            for context in (client_context(other.cert_file), client_context()):
                with pytest.raises(ProtocolError, match="not trusted") as caught:
                    await dial_tcp(where, BearerClient("good"), tls=context)
                assert caught.value.reason == "certificate"
        elsewhere = self_signed(str(tmp_path / "elsewhere"), ["node.example"], time.time())
        async with serving("tls", elsewhere) as where:
            with pytest.raises(ProtocolError, match=r"not valid for '127\.0\.0\.1'"):
                await dial_tcp(where, BearerClient("good"), tls=client_context(elsewhere.cert_file))

    run_on_both(main())


def test_another_certificate_is_not_trusted_blocking(certificate: SelfSigned, tmp_path: Path) -> None:
    other = self_signed(str(tmp_path / "other"), ["127.0.0.1"], time.time())
    with serving_beside("tls", certificate) as where, pytest.raises(ProtocolError, match="not trusted"):
        dial_tcp_blocking(where, BearerClient("good"), ca_file=other.cert_file)


def test_tls_to_one_that_has_none(run_on_both: Run, certificate: SelfSigned) -> None:
    async def main() -> None:
        async with serving("tcp", certificate) as where:
            with pytest.raises((ProtocolError, Unavailable), match="TLS"):
                await dial_tcp(where._replace(scheme="tls"), BearerClient("good"), tls=client_context())

    run_on_both(main())


@pytest.mark.parametrize("steps", range(12))
def test_a_cancelled_dial_leaves_nothing(run_on_both: Run, scheme: Any, certificate: SelfSigned, steps: int) -> None:
    async def main() -> None:
        async with serving(scheme, certificate) as where:
            dialing = asyncio.create_task(dial_tcp(where, BearerClient("good"), tls=trusting(where, certificate)))
            for _ in range(steps):
                await asyncio.sleep(0)
            if not dialing.cancel():
                (await dialing).close()
            results = await asyncio.gather(dialing, return_exceptions=True)
            for result in results:
                if isinstance(result, AsyncConnection):
                    result.close()
                    await result.wait_closed()
            while asyncio.all_tasks() != {asyncio.current_task()}:  # asyncio's own, of the accepting end
                await asyncio.sleep(0)
            for _ in range(20):  # uvloop closes a transport some turns after it gave up on it
                await asyncio.sleep(0)

    run_on_both(main())


def test_nobody_there(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = Address("tcp", host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(Unavailable, match="nobody answers at tcp://127"):
            run(dial_tcp(where, BearerClient("good")))
        with pytest.raises(Unavailable, match="nobody answers at tcp://127"):
            dial_tcp_blocking(where, BearerClient("good"))


def test_a_port_in_use_is_refused(run: Run, certificate: SelfSigned) -> None:
    async def main() -> None:
        async with serving("tcp", certificate) as where:
            with pytest.raises(UsageError, match="cannot listen at tcp://"):
                await serve_tcp(where, make_authenticator=lambda _peer: BearerVerifier(verify), make_handler=Echo)

    run(main())


def test_files_that_cannot_serve(certificate: SelfSigned, tmp_path: Path) -> None:
    shown = tmp_path / "key.pem"
    shown.write_bytes(Path(certificate.key_file).read_bytes())
    shown.chmod(0o644)
    with pytest.raises(UsageError, match="others can read"):
        server_context(certificate.cert_file, str(shown))
    with pytest.raises(UsageError, match="cannot use certificate"):
        server_context(str(tmp_path / "none.pem"), certificate.key_file)
    with pytest.raises(UsageError, match="ca_file"):
        client_context(str(tmp_path / "none.pem"))
