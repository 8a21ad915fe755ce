"""The selectors shell: both ends on one selector over real sockets, in one thread."""

from __future__ import annotations

import os
import selectors
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.clock import VirtualClock
from holdfast.errors import BusyError, DisconnectedError, HoldfastError, PermissionDenied, ProtocolError, UsageError
from holdfast.limits import LIMITS, Limits
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import Event, Opened, RequestReceived, ResponseReceived, Stalled
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.selecting import SelectorConnection, SelectorListener
from holdfast.rpc.states import Link, Role
from holdfast.streams.reader import Chunk, Reader
from holdfast.streams.ring import RingBuffer
from holdfast.streams.sender import OutputSender


class Log:
    """A handler that remembers, and answers every call."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed: list[HoldfastError | None] = []

    def handle_event(self, link: SelectorConnection, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, RequestReceived):
            link.core.respond(event.number, event.params)

    def handle_closed(self, link: SelectorConnection, error: HoldfastError | None) -> None:
        assert link.closed
        self.closed.append(error)


class Loop:
    """A selector with two connected ends on it."""

    def __init__(self, limits: Limits = LIMITS, owner_uid: int = 1) -> None:
        self.selector = selectors.DefaultSelector()
        self.clock = VirtualClock()
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.client_log, self.server_log = Log(), Log()
        client = Connection(Role.CLIENT, LocalClient(), now=0.0, limits=limits)
        server = Connection(Role.SERVER, LocalOwner(owner_uid, 1), now=0.0, limits=limits)
        self.client = SelectorConnection(left, client, self.selector, self.client_log, self.clock)
        self.server = SelectorConnection(right, server, self.selector, self.server_log, self.clock)
        self.client.flush()

    def turn(self) -> bool:
        """One turn; whether anything was ready."""
        ready = self.selector.select(0)
        for key, mask in ready:
            key.data(mask)
        return bool(ready)

    def settle(self) -> None:
        while self.turn():
            pass

    def close(self) -> None:
        for end in (self.client, self.server):
            end.abort()
        self.selector.close()


@pytest.fixture
def make_loop() -> Iterator[Callable[..., Loop]]:
    loops: list[Loop] = []

    def make(**options: Any) -> Loop:
        loops.append(Loop(**options))
        loops[-1].settle()
        return loops[-1]

    yield make
    for loop in loops:
        loop.close()


@pytest.fixture
def loop(make_loop: Callable[..., Loop]) -> Loop:
    return make_loop()


def is_closed(end: SelectorConnection) -> bool:
    return end.closed


def test_both_ends_open_and_a_call_is_answered(loop: Loop) -> None:
    assert loop.client.core.link is Link.OPEN
    number = loop.client.core.call("m", {"a": 1}, b"x" * 100_000, now=0.0)
    loop.client.flush()
    loop.settle()
    opened = Opened("local:1", frozenset(), (1, 0))
    assert loop.client_log.events == [opened, ResponseReceived(number, {"a": 1}, b"")]
    assert loop.server_log.events[0] == opened


def test_a_goodbye_closes_both_sockets(loop: Loop) -> None:
    loop.client.close()
    loop.settle()
    assert is_closed(loop.client) and is_closed(loop.server)
    assert (loop.client_log.closed, loop.server_log.closed) == ([None], [None])
    loop.client.close()
    loop.client.flush()
    loop.client.abort()
    loop.client.handle_timer()
    loop.client.handle_ready(selectors.EVENT_READ)
    assert loop.client.next_deadline() is None and loop.client_log.closed == [None]


def test_the_reason_of_a_goodbye_reaches_the_other_end(loop: Loop) -> None:
    loop.server.close(BusyError("taken over", holder="node 2"), retry_after_s=1.0)
    loop.settle()
    (error,) = loop.client_log.closed
    assert isinstance(error, BusyError) and error.holder == "node 2"


def test_a_stranger_is_refused(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(owner_uid=2)
    for log in (loop.client_log, loop.server_log):
        (error,) = log.closed
        assert isinstance(error, PermissionDenied)


def test_garbage_ends_it_with_a_goodbye(loop: Loop) -> None:
    loop.client._sock.send(b"\xff" * 20)
    loop.settle()
    (at_server,), (at_client,) = loop.server_log.closed, loop.client_log.closed
    assert isinstance(at_server, ProtocolError) and at_server.reason == "frame-too-large"
    assert isinstance(at_client, ProtocolError)


def test_a_cut_is_told_as_a_cut(loop: Loop) -> None:
    loop.client.abort()
    loop.settle()
    (error,) = loop.server_log.closed
    assert isinstance(error, DisconnectedError)
    (ours,) = loop.client_log.closed
    assert isinstance(ours, DisconnectedError) and "by this end" in ours.message


def test_writing_into_a_broken_pipe_is_a_cut(loop: Loop) -> None:
    loop.client.abort()
    loop.server.core.emit(0, "x", 1)
    loop.server.flush()
    (error,) = loop.server_log.closed
    assert isinstance(error, DisconnectedError)


def test_a_reset_is_a_cut(loop: Loop) -> None:
    """The peer closes with something of ours unread: the kernel reports a reset, not an end."""
    loop.server.core.emit(0, "unread", 1)
    loop.server.flush()
    loop.client.abort()
    loop.settle()
    (error,) = loop.server_log.closed
    assert isinstance(error, DisconnectedError)


def test_a_goodbye_is_heard_though_writing_failed_first(loop: Loop) -> None:
    loop.client.close(BusyError("taken over", holder="node 2"))
    loop.client.abort()
    loop.server.core.emit(0, "x", 1)
    loop.server.flush()
    (error,) = loop.server_log.closed
    assert isinstance(error, BusyError) and error.holder == "node 2"


def test_a_handler_that_cuts_the_link_hears_no_more_of_it(loop: Loop) -> None:
    class Cutting(Log):
        def handle_event(self, link: SelectorConnection, event: Event) -> None:
            super().handle_event(link, event)
            link.abort()

    loop.server._handler = cutting = Cutting()
    for _ in range(3):
        loop.client.core.call("m", {}, now=0.0)
    loop.client.flush()
    loop.settle()
    assert len(cutting.events) == 1 and len(cutting.closed) == 1


def test_a_turn_without_anything_to_receive(loop: Loop) -> None:
    loop.server.handle_ready(selectors.EVENT_READ)
    assert loop.server.core.link is Link.OPEN


def replay(loop: Loop, window_bytes: int = 1 << 20) -> tuple[OutputSender, Reader]:
    sender, reader = OutputSender(RingBuffer(4 << 20)), Reader(1, window_bytes=window_bytes)
    sender.write(bytes(range(256)) * (1 << 14))
    sender.connect(1, 0, 0, 0.0)
    loop.server.core.broker.add_sender(sender)
    reader.start()
    loop.client.core.broker.add_reader(reader)
    loop.client.flush()
    return sender, reader


def test_a_stream_crosses_whole_through_small_kernel_buffers(loop: Loop) -> None:
    _, reader = replay(loop)
    got = bytearray()
    while len(got) < 4 << 20:
        assert loop.turn()
        while isinstance(item := reader.read(), Chunk):
            got += item.data
        loop.client.core.broker.ready(1)
        loop.client.flush()
    assert got == bytes(range(256)) * (1 << 14)


def test_one_turn_sends_a_bounded_amount_and_goes_on_in_the_next(loop: Loop) -> None:
    sender, _ = replay(loop, window_bytes=4 << 20)
    before = 0
    for _ in range(3):
        loop.turn()
        assert sender.sent - before <= (256 << 10) + LIMITS.packet_bytes_max
        before = sender.sent


def test_a_peer_that_does_not_read_cannot_keep_a_closed_connection(loop: Loop) -> None:
    replay(loop, window_bytes=4 << 20)
    loop.server.handle_ready(selectors.EVENT_READ)
    for _ in range(100):
        loop.server.core.emit(0, "x", "y" * 50_000)
        loop.server.flush()
    loop.server.close()
    assert not is_closed(loop.server)
    for _ in range(100):
        if (deadline := loop.server.next_deadline()) is None:
            break
        loop.clock.advance_to(deadline)
        loop.server.handle_timer()
    assert is_closed(loop.server) and loop.clock.now() <= 2 * LIMITS.goodbye_s


def test_time_is_passed_on(loop: Loop) -> None:
    assert loop.server.next_deadline() == LIMITS.ping_interval_s
    for moment in (5.0, 10.0, 15.0, 20.0):
        loop.clock.advance_to(moment)
        loop.server.handle_timer()
    assert loop.server_log.events[-1] == Stalled()


def test_listening_is_for_the_owner_and_leaves_nothing_behind(socket_dir: Path) -> None:
    path = str(socket_dir / "keeper.sock")
    accepted: list[tuple[socket.socket, int | None]] = []
    with selectors.DefaultSelector() as selector:
        listener = SelectorListener(path, selector, lambda sock, uid: accepted.append((sock, uid)))
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with pytest.raises(BusyError):
            SelectorListener(path, selector, lambda sock, uid: None)
        accepted.pop()[0].close() if accepted else None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.connect(path)
            for key, mask in selector.select(1):
                key.data(mask)
            assert accepted[-1][1] == os.getuid()
        listener.close()
        listener.close()
        listener.handle_ready(selectors.EVENT_READ)
        assert not os.path.exists(path)
        for sock, _ in accepted:
            sock.close()


def test_a_stale_socket_file_is_replaced(socket_dir: Path) -> None:
    path = str(socket_dir / "keeper.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
    with selectors.DefaultSelector() as selector:
        SelectorListener(path, selector, lambda sock, uid: sock.close()).close()


def test_a_path_that_is_too_long_names_the_limit(socket_dir: Path) -> None:
    with selectors.DefaultSelector() as selector, pytest.raises(UsageError, match="socket_path_bytes_max = 10"):
        SelectorListener(str(socket_dir / ("x" * 120)), selector, lambda sock, uid: None)
