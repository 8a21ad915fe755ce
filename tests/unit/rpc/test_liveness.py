"""Attached is proven: pings, stalls, recovery, and giving up, all under virtual time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import DisconnectedError
from holdfast.limits import LIMITS
from holdfast.rpc.backoff import Backoff
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import Failed, Recovered, Stalled, StreamReadable, StreamWritable
from holdfast.rpc.frames import PREAMBLE, FrameReader, FrameType, encode_frame
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.liveness import Liveness
from holdfast.rpc.states import Link, State
from holdfast.streams.reader import Chunk, Reader
from holdfast.streams.ring import RingBuffer
from holdfast.streams.sender import OutputSender

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.rpc.conftest import MakePair, Pair


def link_of(connection: Connection) -> Link:
    return connection.link


def types_in(connection_bytes: bytes) -> list[int]:
    reader = FrameReader(1 << 20)
    list(reader.frames(PREAMBLE))
    return [frame.type for frame in reader.frames(connection_bytes)]


def watch(pair: Pair, sender: OutputSender, reader: Reader) -> None:
    """The server sends ``sender``'s output to the client's ``reader`` as stream 1."""
    sender.connect(reader.stream_id, 0, reader.next_offset, pair.now)
    pair.server.broker.add_sender(sender)
    reader.start()
    pair.client.broker.add_reader(reader)
    pair.settle()
    pair.take()


def test_an_idle_link_is_pinged_and_stays_open(pair: Pair) -> None:
    pair.advance(3600)
    assert pair.take() == ([], [])
    assert link_of(pair.client) is Link.OPEN
    for sent in (pair.to_client, pair.to_server):
        pings = types_in(b"".join(sent[1:])).count(FrameType.PING)
        assert pings == 3600 / LIMITS.ping_interval_s


def test_a_ping_is_answered_at_once_and_ahead_of_everything(pair: Pair) -> None:
    sender = OutputSender(RingBuffer(1 << 20))
    watch(pair, sender, Reader(1, window_bytes=1 << 20))
    sender.write(bytes(1 << 20))
    pair.server.broker.ready(1)
    for _ in range(100):
        pair.server.emit(0, "tick", "x" * 1000)
    pair.server.receive_bytes(encode_frame(FrameType.PING, 0, bytes(8)), pair.now)
    first = b"".join(pair.server.data_to_send(1 << 16, pair.now))
    assert types_in(first)[0] == FrameType.PONG


def test_regression_1_a_transport_that_times_out_once_stalls_and_recovers_alone(pair: Pair) -> None:
    """Nothing arrives for a while; the sender's end leaves *open* within the stall limit, and comes back by itself."""
    sender, reader = OutputSender(), Reader(1)
    watch(pair, sender, reader)
    sender.write(b"before")
    pair.server.broker.ready(1)
    stuck = b"".join(pair.server.data_to_send(1 << 20, pair.now))
    sent_at = pair.now
    while link_of(pair.server) is Link.OPEN:
        deadline = pair.server.next_deadline()
        assert deadline is not None
        pair.clock.advance_to(deadline)
        pair.server_events += pair.server.handle_timer(pair.now)
        stuck += b"".join(pair.server.data_to_send(1 << 20, pair.now))
    assert pair.now - sent_at == LIMITS.stall_s
    assert link_of(pair.server) is Link.STALLED and pair.take()[1] == [Stalled()]
    pair.client_events += pair.client.receive_bytes(stuck, pair.now)
    pair.settle()
    at_client, at_server = pair.take()
    assert at_client == [StreamReadable(1)]
    assert at_server == [Recovered(), StreamWritable(1)]
    assert link_of(pair.server) is Link.OPEN
    assert reader.read() == Chunk(0, b"before", 0)


def test_regression_1_again_a_cut_after_a_stall_is_redialed_and_not_a_byte_is_missing(make_pair: MakePair) -> None:
    sender = OutputSender(RingBuffer(1 << 16))
    backoff = Backoff(random.Random(7).random)
    offset, got, delays = 0, b"", []
    for piece in (b"one ", b"two ", b"three"):
        pair = make_pair(LocalClient(), LocalOwner(1, 1))
        pair.settle()
        backoff.opened(pair.now)
        reader = Reader(1, start_offset=offset)
        watch(pair, sender, reader)
        sender.write(piece)
        pair.server.broker.ready(1)
        pair.settle()
        sender.write(b"(lost on the way) ")
        pair.server.broker.ready(1)
        pair.server.data_to_send(1 << 20, pair.now)
        pair.advance(LIMITS.give_up_s + LIMITS.stall_s, exchange=False)
        at_server = pair.take()[1]
        assert Stalled() in at_server and isinstance(at_server[-1], Failed)
        sender.disconnect()
        while isinstance(item := reader.read(), Chunk):
            got += item.data
            backoff.data_flowed()
        offset = reader.read_offset
        delays.append(backoff.next_delay_s(pair.now))
    assert got == b"one (lost on the way) two (lost on the way) three"
    assert max(delays) <= LIMITS.reconnect_first_s


def test_a_dead_link_is_given_up(pair: Pair) -> None:
    pair.advance(LIMITS.ping_interval_s, exchange=False)
    pair.server.data_to_send(1 << 20, pair.now)
    pair.advance(LIMITS.give_up_s, exchange=False)
    for events in pair.take():
        stalled, failed = events
        assert stalled == Stalled() and isinstance(failed, Failed)
        assert isinstance(failed.error, DisconnectedError) and "give_up_s" in failed.error.message
    assert pair.server.state is State.CLOSING


def test_a_peer_whose_own_pings_arrive_is_stalled_all_the_same(pair: Pair) -> None:
    """A one-way partition: what it sends proves nothing about what it gets."""
    for _ in range(5):
        pair.advance(LIMITS.ping_interval_s, exchange=False)
        pair.server_events += pair.server.receive_bytes(b"".join(pair.client.data_to_send(1 << 20, pair.now)), pair.now)
        pair.server.data_to_send(1 << 20, pair.now)
    assert link_of(pair.server) is Link.STALLED and Stalled() in pair.take()[1]


def test_regression_5_pings_keep_flowing_through_a_replay_of_100_mb(pair: Pair) -> None:
    """A slow link, 1 MB/s: 100 MB take 100 s, and a ping is answered within what the kernel holds."""
    sender = OutputSender(RingBuffer(1 << 20))
    reader = Reader(1, window_bytes=1 << 20)
    watch(pair, sender, reader)
    total, piece, per_turn, turn_s = 100_000_000, bytes(1 << 20), 64_000, 0.064
    received, ping_sent_at = 0, {0: 0.0}
    round_trips: list[float] = []
    while received < total:
        sender.write(piece)
        pair.server.broker.ready(1)
        pair.clock.advance(turn_s)
        pair.client_events += pair.client.handle_timer(pair.now)
        pair.server_events += pair.server.handle_timer(pair.now)
        up = b"".join(pair.client.data_to_send(per_turn, pair.now))
        down = b"".join(pair.server.data_to_send(per_turn, pair.now))
        pings = types_in(up).count(FrameType.PING)
        if pings:
            ping_sent_at[len(ping_sent_at)] = pair.now
        pongs = types_in(down).count(FrameType.PONG)
        if pongs:
            round_trips.append(pair.now - ping_sent_at[len(round_trips) + 1])
        pair.server_events += pair.server.receive_bytes(up, pair.now)
        pair.client_events += pair.client.receive_bytes(down, pair.now)
        while isinstance(item := reader.read(), Chunk):
            received += len(item.data)
        pair.client.broker.ready(1)
    assert len(round_trips) >= total / per_turn * turn_s / LIMITS.ping_interval_s - 2
    assert max(round_trips) <= 2 * turn_s
    assert Stalled() not in pair.client_events + pair.server_events


def test_stream_data_owes_an_answer_even_between_pings() -> None:
    liveness = Liveness(LIMITS, 0.0)
    assert liveness.next_deadline() == 5.0
    liveness.data_sent(1.0)
    assert not liveness.stall_due(15.9)
    assert liveness.stall_due(16.0) and liveness.stalled
    assert not liveness.stall_due(17.0), "once"
    assert not liveness.is_gone(45.9) and liveness.is_gone(46.0)
    assert liveness.progressed(46.0) and not liveness.stalled
    assert not liveness.progressed(46.0), "once"


def test_a_pong_settles_what_was_sent_before_its_ping_only() -> None:
    liveness = Liveness(LIMITS, 0.0)
    liveness.data_sent(1.0)
    ping = liveness.next_ping(5.0)
    liveness.pong_received(ping, 5.1)
    assert liveness.next_deadline() == 10.0, "nothing is outstanding"
    ping = liveness.next_ping(10.0)
    liveness.data_sent(10.05)
    liveness.pong_received(ping, 10.1)
    assert not liveness.stall_due(25.0) and liveness.stall_due(25.1), "the data still is"


@pytest.mark.parametrize("opaque", [0, 2, 2**64 - 1])
def test_an_answer_to_no_ping_proves_nothing(opaque: int) -> None:
    liveness = Liveness(LIMITS, 0.0)
    liveness.next_ping(5.0)
    assert not liveness.pong_received(opaque, 19.0)
    assert liveness.stall_due(20.0)


def test_an_older_pong_is_progress_and_no_more() -> None:
    liveness = Liveness(LIMITS, 0.0)
    old = liveness.next_ping(5.0)
    liveness.next_ping(10.0)
    liveness.stall_due(20.0)
    assert liveness.pong_received(old, 21.0)
    assert liveness.stall_due(36.0)


def test_a_ping_that_could_not_leave_is_not_queued_twice(opened_pair: Callable[..., Pair]) -> None:
    pair = opened_pair()
    for _ in range(3):
        pair.clock.advance(LIMITS.ping_interval_s)
        pair.client.handle_timer(pair.now)
    assert types_in(b"".join(pair.client.data_to_send(1 << 20, pair.now))) == [FrameType.PING]
