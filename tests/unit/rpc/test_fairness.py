"""Streams on a connection: fair turns, small queues, and a replay that holds nobody up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.errors import LimitExceeded
from holdfast.limits import LIMITS
from holdfast.rpc.events import RequestReceived, StreamReadable
from holdfast.rpc.frames import PREAMBLE, Frame, FrameReader, FrameType
from holdfast.streams.packets import Data
from holdfast.streams.reader import Chunk, End, Reader
from holdfast.streams.ring import RingBuffer
from holdfast.streams.sender import OutputSender
from holdfast.streams.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.rpc.conftest import Pair


def frames_in(data: bytes) -> list[Frame]:
    reader = FrameReader(1 << 21)
    list(reader.frames(PREAMBLE))
    return list(reader.frames(data))


class Replay:
    """A stream that never runs dry, from server to client."""

    def __init__(self, pair: Pair, stream: int, window_bytes: int = 2 << 20) -> None:
        self._pair = pair
        self.sender = OutputSender(RingBuffer(2 << 20))
        self.sender.connect(stream, 0, 0, pair.now)
        pair.server.broker.add_sender(self.sender)
        self.reader = Reader(stream, window_bytes=window_bytes)
        self.reader.start()
        pair.client.broker.add_reader(self.reader)
        self.received = 0
        self.fill()

    def fill(self) -> None:
        self.sender.write(bytes(2 << 20))
        assert self.sender.stream_id is not None
        self._pair.server.broker.ready(self.sender.stream_id)

    def drain(self) -> None:
        while isinstance(item := self.reader.read(), Chunk):
            self.received += len(item.data)
        self._pair.client.broker.ready(self.reader.stream_id)


def test_a_replay_that_never_ends_delays_a_keystroke_by_no_packet(pair: Pair) -> None:
    """Whatever a replay still has to send: a keystroke's answer is the next thing to leave."""
    replay = Replay(pair, 1)
    for _ in range(300):
        replay.fill()
        pair.turn(LIMITS.packet_bytes_max)
        number = pair.client.call("keeper.input", {}, b"k", now=pair.now)
        up = b"".join(pair.client.data_to_send(LIMITS.packet_bytes_max, pair.now))
        assert RequestReceived(number, "keeper.input", {}, b"k", None) in pair.server.receive_bytes(up, pair.now)
        pair.server.respond(number, {})
        down = b"".join(pair.server.data_to_send(LIMITS.packet_bytes_max, pair.now))
        types = [frame.type for frame in frames_in(down)]
        assert types[0] == FrameType.RESPONSE and FrameType.DATA in types
        pair.client.receive_bytes(down, pair.now)
        replay.drain()
    assert replay.received > 300 * LIMITS.packet_bytes_max


def test_a_keystrokes_echo_on_its_own_stream_waits_for_one_packet_of_the_other(pair: Pair) -> None:
    Replay(pair, 1)
    echo = Writer(3, window=1000)
    pair.server.broker.add_sender(echo)
    pair.turn(LIMITS.packet_bytes_max)
    echo.write(b"k")
    pair.server.broker.ready(3)
    frames = frames_in(b"".join(pair.server.data_to_send(10 * LIMITS.packet_bytes_max, pair.now)))
    streams = [frame.number for frame in frames if frame.type == FrameType.DATA]
    assert streams.index(3) <= 1 and streams.count(1) > 1


def test_a_hundred_replays_take_turns(pair: Pair) -> None:
    for stream in range(1, 200, 2):
        Replay(pair, stream, window_bytes=1 << 16)
    pair.turn()
    order: list[int] = []
    while len(order) < 300:
        data = b"".join(pair.server.data_to_send(LIMITS.packet_bytes_max, pair.now))
        order += [frame.number for frame in frames_in(data) if frame.type == FrameType.DATA]
    for start in (0, 100, 200):
        assert sorted(order[start : start + 100]) == list(range(1, 200, 2))


def test_a_turn_asks_for_no_more_than_it_can_send(pair: Pair) -> None:
    replay = Replay(pair, 1)
    pair.turn()
    sent = replay.sender.sent
    (header, payload) = pair.server.data_to_send(1, pair.now)
    assert replay.sender.sent - sent == len(payload) <= LIMITS.packet_bytes_max
    assert len(header) == 18


def test_many_streams_leave_nothing_behind(pair: Pair) -> None:
    for _ in range(500):
        stream = pair.client.next_stream_id()
        reader, writer = Reader(stream), Writer(stream)
        reader.start()
        pair.client.broker.add_reader(reader)
        pair.server.broker.add_sender(writer)
        writer.write(b"x")
        writer.close()
        pair.server.broker.ready(stream)
        pair.settle()
        assert reader.read() == Chunk(0, b"x", 0) and reader.read() == End(1)
        pair.client.broker.ready(stream)
        pair.settle()
    assert (len(pair.client.broker), len(pair.server.broker)) == (0, 0)


def test_a_connection_has_so_many_streams_and_no_more(opened_pair: Callable[..., Pair]) -> None:
    pair = opened_pair(LIMITS._replace(streams_per_connection_max=2))
    pair.client.broker.add_reader(Reader(1))
    pair.client.broker.add_sender(Writer(3))
    with pytest.raises(LimitExceeded, match="streams_per_connection_max: 3 is over the limit of 2"):
        pair.client.broker.add_reader(Reader(5))
    with pytest.raises(LimitExceeded):
        pair.client.broker.add_sender(Writer(5))


def test_data_for_a_stream_nobody_reads_is_answered_with_a_cancel(pair: Pair) -> None:
    writer = Writer(1, window=1000)
    pair.server.broker.add_sender(writer)
    writer.write(b"x")
    pair.server.broker.ready(1)
    pair.settle()
    assert writer.cancelled and len(pair.server.broker) == 0


def test_packets_cross_with_their_tags_gaps_and_errors(pair: Pair) -> None:
    seen: list[Data] = []

    class Listener(Reader):
        def receive_data(self, packet: Data, now: float) -> None:
            seen.append(packet)
            super().receive_data(packet, now)

    listener = Listener(1)
    listener.start()
    pair.client.broker.add_reader(listener)
    sender = OutputSender(RingBuffer(4))
    sender.write(b"12345678", tag=3)
    sender.fail("broken")
    sender.connect(1, 0, 0, pair.now)
    pair.server.broker.add_sender(sender)
    pair.settle()
    assert [(packet.kind, packet.seq, packet.skip, packet.tag) for packet in seen] == [
        (3, 0, 4, 0),
        (0, 4, 0, 3),
        (2, 8, 0, 0),
    ]
    assert StreamReadable(1) in pair.take()[0]


def test_a_goodbye_takes_the_last_acknowledgements_along(pair: Pair) -> None:
    reader, writer = Reader(1), Writer(1)
    reader.start()
    pair.client.broker.add_reader(reader)
    pair.server.broker.add_sender(writer)
    writer.write(b"x")
    pair.server.broker.ready(1)
    pair.turn()
    pair.turn()
    writer.close()
    pair.server.broker.ready(1)
    pair.client.receive_bytes(b"".join(pair.server.data_to_send(1 << 20, pair.now)), pair.now)
    pair.client.goodbye()
    pair.settle()
    assert writer.done and reader.next_ack() is None
