"""The blocking shell against a server on a thread, over a real unix socket; and what importing it costs."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import RealClock, VirtualClock
from holdfast.errors import (
    ClosedError,
    DeadlineExceeded,
    DisconnectedError,
    HoldfastError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    ProtocolError,
    Unavailable,
    UsageError,
)
from holdfast.limits import LIMITS
from holdfast.rpc.blocking import waiting
from holdfast.rpc.blocking.connection import BlockingConnection
from holdfast.rpc.blocking.streams import BlockingWriter
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import CallCancelled, Event, EventReceived, Reply, RequestReceived
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.selecting import SelectorConnection, SelectorListener
from holdfast.rpc.states import Link, Role
from holdfast.streams.reader import Chunk, End, Failed, Gap, Reader
from holdfast.streams.ring import RingBuffer
from holdfast.streams.sender import OutputSender

Respond = Callable[[SelectorConnection, RequestReceived], Any]
FORBIDDEN = {
    "asyncio", "msgspec", "dataclasses", "inspect", "subprocess", "logging", "pathlib", "tempfile", "structlog",
    "hashlib", "_hashlib", "hmac", "ssl", "_ssl", "random", "threading", "concurrent", "email", "urllib", "ctypes",
}  # fmt: skip


class Node:
    """A server on a thread of its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.owner_uid = os.getuid()
        self.cancelled: list[int] = []
        self.sent: dict[int, OutputSender] = {}
        self.received: dict[int, Reader] = {}
        self.got = bytearray()
        self._links: list[SelectorConnection] = []
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._listener = SelectorListener(path, self._selector, self._accept)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._wake.send(b"x")
        self._thread.join()
        for link in self._links:
            link.abort()
        self._listener.close()
        for sock in (self._wake, self._woken):
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, mask in self._selector.select():
                if key.data is None:
                    return
                key.data(mask)

    def _accept(self, sock: socket.socket, uid: int | None) -> None:
        now = RealClock().now()
        core = Connection(Role.SERVER, LocalOwner(self.owner_uid, uid), now=now)
        self._links.append(SelectorConnection(sock, core, self._selector, self))

    def handle_event(self, link: SelectorConnection, event: Event) -> None:
        if isinstance(event, CallCancelled):
            self.cancelled.append(event.number)
        if isinstance(event, RequestReceived):
            answer: Respond = getattr(self, f"do_{event.method}")
            with contextlib.suppress(NotImplementedError):
                try:
                    link.core.respond(event.number, answer(link, event), event.attachment)
                except HoldfastError as error:
                    link.core.respond_error(event.number, error)
        for reader in self.received.values():
            while isinstance(item := reader.read(), Chunk):
                self.got += item.data
            if reader.stream_id in link.core.broker:
                link.core.broker.ready(reader.stream_id)

    def handle_closed(self, link: SelectorConnection, error: HoldfastError | None) -> None:
        pass

    # what can be called

    def do_echo(self, link: SelectorConnection, request: RequestReceived) -> Any:
        return request.params

    def do_fail(self, link: SelectorConnection, request: RequestReceived) -> Any:
        raise NotFound(kind="job", name="x")

    def do_never(self, link: SelectorConnection, request: RequestReceived) -> Any:
        raise NotImplementedError

    def do_cancelled(self, link: SelectorConnection, request: RequestReceived) -> Any:
        return self.cancelled

    def do_events(self, link: SelectorConnection, request: RequestReceived) -> Any:
        link.core.emit(request.number, "on call", 1)
        link.core.emit(0, "on connection", 2)
        link.core.call("call_back", {}, now=RealClock().now())

    def do_bye(self, link: SelectorConnection, request: RequestReceived) -> Any:
        link.core.goodbye(LimitExceeded(name="x"), retry_after_s=request.params.get("retry_after_s", 0.0))
        raise NotImplementedError

    def do_cut(self, link: SelectorConnection, request: RequestReceived) -> Any:
        link.abort()
        raise NotImplementedError

    def do_garbage(self, link: SelectorConnection, request: RequestReceived) -> Any:
        link._sock.send(b"\0\0\0\x01")
        raise NotImplementedError

    def do_output(self, link: SelectorConnection, request: RequestReceived) -> Any:
        stream = request.params["stream"]
        sender = OutputSender(RingBuffer(1 << 20, overwrite=True))
        sender.write(b"x" * request.params["size"])
        if request.params.get("end") == "eof":
            sender.finish()
        elif request.params.get("end") == "error":
            sender.fail("broke")
        sender.connect(stream, 0, request.params.get("from_offset", 0), RealClock().now())
        link.core.broker.add_sender(sender)
        self.sent[stream] = sender
        return {}

    def do_state(self, link: SelectorConnection, request: RequestReceived) -> Any:
        sender = self.sent[request.params["stream"]]
        return {"acknowledged": sender.acknowledged, "connected": sender.connected}

    def do_input(self, link: SelectorConnection, request: RequestReceived) -> Any:
        reader = Reader(request.params["stream"], window_bytes=10_000)
        reader.start()
        link.core.broker.add_reader(reader)
        self.received[reader.stream_id] = reader
        if request.params.get("refuse"):
            reader.close("no room")
            link.core.broker.ready(reader.stream_id)


@pytest.fixture
def node(socket_dir: Path) -> Iterator[Node]:
    node = Node(str(socket_dir / "node.sock"))
    yield node
    node.stop()


@pytest.fixture
def client(node: Node) -> Iterator[BlockingConnection]:
    with BlockingConnection.dial_unix(node.path, LocalClient()) as connection:
        yield connection


def link_of(client: BlockingConnection) -> Link:
    return client.link


# dialing


def test_dialing_opens(client: BlockingConnection) -> None:
    assert link_of(client) is Link.OPEN and client.identity == f"local:{os.getuid()}"
    assert client.closed_by is None and client.fileno() >= 0


@pytest.mark.parametrize("stale", [True, False])
def test_nobody_listens(socket_dir: Path, stale: bool) -> None:
    path = str(socket_dir / "none.sock")
    if stale:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(path)
    with pytest.raises(Unavailable) as caught:
        BlockingConnection.dial_unix(path, LocalClient())
    assert caught.value.address == path and path in caught.value.message


def test_a_path_that_is_too_long() -> None:
    with pytest.raises(UsageError, match="socket_path_bytes_max"):
        BlockingConnection.dial_unix("/tmp/" + "x" * 200, LocalClient())


def test_the_owner_of_the_node_is_someone_else(node: Node) -> None:
    node.owner_uid += 1
    with pytest.raises(PermissionDenied):
        BlockingConnection.dial_unix(node.path, LocalClient())


def test_a_listener_that_says_nothing(socket_dir: Path) -> None:
    path = str(socket_dir / "mute.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(path)
        mute.listen()
        with pytest.raises(DeadlineExceeded) as caught:
            BlockingConnection.dial_unix(path, LocalClient(), limits=LIMITS._replace(handshake_s=0.01))
    assert caught.value.phase == "handshake"


def test_a_listener_that_is_no_node(socket_dir: Path) -> None:
    path = str(socket_dir / "http.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as http:
        http.bind(path)
        http.listen()
        answering = threading.Thread(target=lambda: _answer_once(http, b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        answering.start()
        with pytest.raises(ProtocolError) as caught:
            BlockingConnection.dial_unix(path, LocalClient())
        answering.join()
    assert caught.value.reason == "preamble"


def test_a_listener_that_hangs_up(socket_dir: Path) -> None:
    path = str(socket_dir / "gone.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
        gone.bind(path)
        gone.listen()
        answering = threading.Thread(target=lambda: _answer_once(gone, b""))
        answering.start()
        with pytest.raises(DisconnectedError):
            BlockingConnection.dial_unix(path, LocalClient())
        answering.join()


def test_a_link_that_breaks_while_we_send_is_not_waited_on() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.setblocking(False)
    with pytest.raises(DisconnectedError):  # at once, not when the handshake's time is over
        BlockingConnection.open_on(ours, "pair", LocalClient(), clock=VirtualClock())
    assert ours.fileno() == -1


def test_a_node_that_is_full_says_when_to_come_back(socket_dir: Path) -> None:
    path = str(socket_dir / "full.sock")
    core = Connection(Role.SERVER, LocalOwner(1, 1), now=0.0)
    core.goodbye(LimitExceeded(name="connections_max"), retry_after_s=1.5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as full:
        full.bind(path)
        full.listen()
        said = b"".join(core.data_to_send(1000, 0.0))
        answering = threading.Thread(target=lambda: _answer_once(full, said))
        answering.start()
        with pytest.raises(Unavailable, match="connections_max") as caught:
            BlockingConnection.dial_unix(path, LocalClient())
        answering.join()
    assert caught.value.retry_after_s == 1.5


def _answer_once(listener: socket.socket, data: bytes) -> None:
    sock, _ = listener.accept()
    with sock:
        sock.sendall(data)
        while data and sock.recv(1000):
            pass


# calls


def test_a_call_returns_its_reply(client: BlockingConnection) -> None:
    assert client.call("echo", {"a": [1]}, b"raw" * 100_000) == Reply({"a": [1]}, b"raw" * 100_000)


def test_a_call_raises_its_error(client: BlockingConnection) -> None:
    with pytest.raises(NotFound) as caught:
        client.call("fail", {})
    assert (caught.value.kind, caught.value.name) == ("job", "x")


def test_a_deadline_cancels_at_the_node(client: BlockingConnection) -> None:
    with pytest.raises(DeadlineExceeded):
        client.call("never", {}, deadline_s=0.01)
    assert client.call("cancelled", {}).result == [1]


def test_events_are_told_while_a_call_waits_and_calls_back_are_refused(client: BlockingConnection) -> None:
    told: list[EventReceived] = []
    client.on_event = told.append
    client.call("events", {}, on_event=told.append)
    assert told == [EventReceived(1, "on call", 1, b""), EventReceived(0, "on connection", 2, b"")]
    assert client.call("echo", {}).result == {}


def test_an_interrupted_call_is_cancelled(client: BlockingConnection) -> None:
    def interrupt(event: EventReceived) -> None:
        raise KeyboardInterrupt

    client.on_event = interrupt
    with pytest.raises(KeyboardInterrupt):
        client.call("events", {})
    client.on_event = None
    assert client.call("echo", {}).result == {}


@pytest.mark.parametrize("method", ["bye", "cut", "garbage"])
def test_a_call_whose_link_ends_is_disconnected(client: BlockingConnection, method: str) -> None:
    with pytest.raises(DisconnectedError):
        client.call(method, {"retry_after_s": 2.0})
    assert link_of(client) is Link.CLOSED
    reason = {"bye": LimitExceeded, "cut": DisconnectedError, "garbage": ProtocolError}[method]
    assert isinstance(client.closed_by, reason)
    assert client.retry_after_s == (2.0 if method == "bye" else 0.0)
    with pytest.raises(DisconnectedError):
        client.call("echo", {})
    assert client.pump(0.0) == []


def test_a_closed_connection_says_so(client: BlockingConnection) -> None:
    client.close()
    client.close()
    assert link_of(client) is Link.CLOSED and client.fileno() == -1
    for use in (lambda: client.call("echo", {}), client.open_reader, client.open_writer):
        with pytest.raises(ClosedError):
            use()


# streams


def test_a_stream_is_read_to_its_end(client: BlockingConnection) -> None:
    reader = client.open_reader(window_bytes=50_000)
    client.call("output", {"stream": reader.stream_id, "size": 300_000, "end": "eof"})
    assert not reader.readable
    reader.start(0)
    got = 0
    while isinstance(item := reader.read(), Chunk):
        assert item.offset == got == reader.offset - len(item.data)
        got += len(item.data)
    assert item == End(300_000) and got == 300_000
    with pytest.raises(UsageError, match="read to its end"):
        reader.read()
    reader.close()


def test_gaps_and_errors_are_told(client: BlockingConnection) -> None:
    reader = client.open_reader()
    client.call("output", {"stream": reader.stream_id, "size": (1 << 20) + 5, "end": "error"})
    reader.start(0)
    assert reader.read() == Gap(0, 5)
    while isinstance(item := reader.read(), Chunk):
        pass
    assert item == Failed((1 << 20) + 5, "broke")


def test_reading_with_a_timeout(client: BlockingConnection) -> None:
    reader = client.open_reader()
    client.call("output", {"stream": reader.stream_id, "size": 1})
    reader.start(0)
    assert isinstance(reader.read(), Chunk)
    assert reader.read(timeout_s=0.01) is None


def test_a_cut_tells_where_to_resume(client: BlockingConnection) -> None:
    reader = client.open_reader()
    client.call("output", {"stream": reader.stream_id, "size": 10})
    reader.start(0)
    while not reader.readable:
        client.pump()
    with pytest.raises(DisconnectedError):
        client.call("cut", {})
    assert isinstance(reader.read(), Chunk), "what arrived before the cut is not lost"
    with pytest.raises(DisconnectedError) as caught:
        reader.read()
    assert caught.value.resume_offset == 10
    reader.close()


def test_manual_acknowledgement_is_what_the_writer_sees(client: BlockingConnection) -> None:
    reader = client.open_reader(manual_ack=True)
    client.call("output", {"stream": reader.stream_id, "size": 10})
    with pytest.raises(UsageError, match="start the reader first"):
        reader.read()
    reader.start(0)
    with pytest.raises(UsageError, match="started already"):
        reader.start(0)
    assert isinstance(reader.read(), Chunk)
    state = {"stream": reader.stream_id}
    assert client.call("state", state).result == {"acknowledged": 0, "connected": True}
    reader.acknowledge(7)
    assert client.call("state", state).result == {"acknowledged": 7, "connected": True}
    reader.close("enough")
    assert client.call("state", state).result["connected"] is False


def test_writing_waits_for_room_and_closing_for_the_end(client: BlockingConnection, node: Node) -> None:
    writer = client.open_writer()
    client.call("input", {"stream": writer.stream_id})
    data = bytes(range(256)) * 16_384
    writer.write(data)
    writer.close()
    assert writer.acknowledged == len(data)
    client.call("echo", {})
    assert node.got == data


def test_a_reader_that_refuses_ends_the_writer(client: BlockingConnection) -> None:
    ends: list[Callable[[BlockingWriter], None]] = [BlockingWriter.close, lambda writer: writer.fail("x")]
    for end in ends:
        writer = client.open_writer()
        client.call("input", {"stream": writer.stream_id, "refuse": True})
        with pytest.raises(ClosedError, match="no room"):
            end(writer)


def test_a_cut_ends_the_writer(client: BlockingConnection) -> None:
    writer = client.open_writer()
    client.call("input", {"stream": writer.stream_id})
    with pytest.raises(DisconnectedError):
        client.call("cut", {})
    with pytest.raises(DisconnectedError) as caught:
        writer.write(b"x")
    assert caught.value.resume_offset == 0
    with pytest.raises(DisconnectedError):
        writer.close()


# a peer whose every byte is ours to choose


class Peer:
    """The other end of a blocking connection, moved by hand."""

    def __init__(self) -> None:
        left, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        left.setblocking(False)
        clock = RealClock()
        self.core = Connection(Role.SERVER, LocalOwner(1, 1), now=clock.now())
        client = Connection(Role.CLIENT, LocalClient(), now=clock.now())
        self.client = BlockingConnection(left, client, clock)
        self.client.flush()
        self.core.receive_bytes(self.sock.recv(10_000), clock.now())
        self.say()
        self.client.pump()
        assert link_of(self.client) is Link.OPEN

    def say(self, extra: bytes = b"") -> None:
        self.sock.sendall(b"".join(self.core.data_to_send(1 << 20, RealClock().now())) + extra)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.client.close()
    peer.sock.close()


def test_a_goodbye_is_heard_though_writing_failed_first(peer: Peer) -> None:
    peer.core.goodbye(LimitExceeded(name="connections_max"))
    peer.say()
    peer.sock.close()
    with pytest.raises(DisconnectedError, match="connections_max"):
        peer.client.call("echo", {}, bytes(100_000))
    assert isinstance(peer.client.closed_by, LimitExceeded)


def test_a_reset_is_a_cut(peer: Peer) -> None:
    peer.client.core.call("echo", {}, now=RealClock().now())
    peer.client.flush()
    peer.sock.close()
    peer.client.pump()
    assert isinstance(peer.client.closed_by, DisconnectedError)


def test_garbage_from_a_peer_that_is_gone(peer: Peer) -> None:
    peer.say(b"\0\0\0\0")
    peer.sock.close()
    peer.client.pump()
    assert isinstance(peer.client.closed_by, ProtocolError)


def test_closing_waits_until_the_goodbye_has_left(peer: Peer) -> None:
    peer.client.core.call("echo", {}, bytes(1_000_000), now=RealClock().now())
    reading = threading.Thread(target=lambda: [None for _ in iter(lambda: peer.sock.recv(1 << 16), b"")])
    reading.start()
    peer.client.close()
    reading.join()
    assert isinstance(peer.client.closed_by, ClosedError)


def test_an_answer_that_nobody_waits_for_any_more(peer: Peer) -> None:
    number = peer.client.core.call("echo", {}, now=RealClock().now())
    peer.client.flush()
    peer.core.receive_bytes(peer.sock.recv(10_000), RealClock().now())
    peer.core.respond(number, 1)
    peer.say()
    peer.client.pump()
    assert link_of(peer.client) is Link.OPEN


# the turn


def test_a_pump_waits_for_the_callers_descriptors_too(client: BlockingConnection, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        assert client.pump(0.0, [reading]) == []
        os.write(writing, b"x")
        assert client.pump(None, [reading]) == [reading]
        (tmp_path / "file").write_text("regular files are always ready")
        with (tmp_path / "file").open() as file:
            assert client.pump(None, [file.fileno()]) == [file.fileno()]
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("wait", [waiting.wait_ready, waiting._select])
def test_waiting_by_either_call(wait: Callable[..., set[int]]) -> None:
    left, right = socket.socketpair()
    with left, right:
        assert wait([left.fileno()], [], 0.0) == set()
        assert wait([left.fileno()], [left.fileno(), right.fileno()], None) == {left.fileno(), right.fileno()}
        right.close()
        assert wait([left.fileno()], [], None) == {left.fileno()}


# what importing it costs


@pytest.mark.parametrize("module", ["blocking.connection", "selecting", "connection", "backoff"])
def test_the_light_shells_import_nothing_heavy(module: str) -> None:
    code = f"import sys; import holdfast.rpc.{module}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert f"holdfast.rpc.{module}" in loaded
    assert not {name for name in loaded if name.split(".")[0] in FORBIDDEN}
