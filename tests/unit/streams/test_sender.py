from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.errors import UsageError
from holdfast.streams import (
    BYTES,
    EOF,
    ERROR,
    GAP,
    Ack,
    Data,
    Finished,
    GapSent,
    OutputSender,
    ReaderCancelled,
    RingBuffer,
)


def take(sender: OutputSender, now: float = 0.0) -> list[Data]:
    packets = []
    while (packet := sender.next_packet(now)) is not None:
        packets.append(packet)
    return packets


class SenderModel(RuleBasedStateMachine):
    """A sender with a reader that says anything, in any order, beside what it may have sent by then."""

    @initialize(
        capacity=st.integers(1, 60),
        window=st.integers(1, 40),
        packet=st.integers(1, 20),
        autotune=st.booleans(),
        overwrite=st.booleans(),
    )
    def begin(self, capacity: int, window: int, packet: int, autotune: bool, overwrite: bool) -> None:
        self.ring = RingBuffer(capacity)
        self.sender = OutputSender(
            self.ring,
            window_bytes=window,
            packet_bytes=packet,
            packet_bytes_max=packet,
            autotune=autotune,
            overwrite_detached=overwrite,
        )
        self.overwrite = overwrite
        self.written = b""
        self.error: str | None = None
        self.ended = False
        self.stream = 0
        self.now = 0.0
        self.forget()

    def forget(self) -> None:
        self.connected = False
        self.got = 0
        self.edge = -1
        self.best = (0, 0)
        self.end_seen = False

    @rule(data=st.binary(max_size=50), tag=st.integers(0, 1))
    def write(self, data: bytes, tag: int) -> None:
        if self.ended:
            with pytest.raises(UsageError):
                self.sender.write(data, tag)
            return
        taken = self.sender.write(data, tag)
        if self.overwrite and not self.connected:
            assert taken == len(data), "the source must never block while nobody watches"
        self.written += data[:taken]

    @rule(error=st.sampled_from([None, None, "broken"]))
    def end(self, error: str | None) -> None:
        if error is None:
            self.sender.finish()
        else:
            self.sender.fail(error)
        if not self.ended:
            self.ended, self.error = True, error

    @precondition(lambda self: not self.connected)
    @rule(at=st.floats(0, 1), window=st.sampled_from([0, 1, 10, 100]))
    def connect(self, at: float, window: int) -> None:
        wanted = int(at * len(self.written))
        self.stream += 1
        start = self.sender.connect(self.stream, window, wanted, self.now)
        assert start == max(wanted, self.ring.head)
        self.connected = True
        self.got, self.edge, self.best = wanted, wanted + window if window else -1, (wanted, window)
        self.end_seen = False

    @rule()
    def disconnect(self) -> None:
        self.sender.disconnect()
        self.forget()

    @rule(count=st.integers(1, 10))
    def send(self, count: int) -> None:
        for _ in range(count):
            self.now += 0.001
            packet = self.sender.next_packet(self.now)
            if packet is None:
                return
            assert self.connected
            assert self.edge >= 0, "sent while corked"
            assert packet.stream == self.stream
            assert packet.seq == self.got, "not where the last one ended"
            self.check(packet)

    def check(self, packet: Data) -> None:
        assert not self.end_seen
        if packet.kind == BYTES:
            end = packet.seq + len(packet.payload)
            assert packet.payload
            assert end <= self.edge, "more than the reader has room for"
            assert bytes(packet.payload) == self.written[packet.seq : end]
            self.got = end
        elif packet.kind == GAP:
            assert packet.skip > 0
            self.got += packet.skip
            assert self.got == self.ring.head, "a gap reaches to the oldest byte that is kept"
        else:
            assert self.ended
            assert packet.seq == len(self.written)
            assert (packet.kind == ERROR) == (self.error is not None)
            assert self.error is None or self.best[0] == len(self.written), "the error overtook bytes"
            self.end_seen = True

    @rule(
        at=st.floats(0, 1.3),
        window=st.integers(-1, 60),
        fin=st.booleans(),
        other=st.sampled_from([0, 0, 0, 1]),
    )
    def acknowledge(self, at: float, window: int, fin: bool, other: int) -> None:
        seq = int(at * self.got)
        self.sender.receive_ack(Ack(self.stream + other, seq, window, fin), self.now)
        if other or not self.connected or seq > self.got or window < 0:
            return
        if (seq, window) > self.best:
            self.best = (seq, window)
            self.edge = seq + window
        if fin and self.end_seen and (self.error or seq == len(self.written)):
            assert self.sender.done
            assert self.sender.events()[-1] == Finished(len(self.written), self.error or "")
            self.forget()

    @rule()
    def cancel(self) -> None:
        self.sender.receive_ack(Ack(self.stream, 0, 0, cancel=True, error="bored"), self.now)
        if self.connected:
            assert self.sender.events()[-1] == ReaderCancelled("bored")
            self.forget()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "sender"):
            return
        assert self.sender.connected == self.connected
        assert self.sender.credit >= 0
        assert self.ring.total == len(self.written)
        if self.connected:
            assert self.sender.acknowledged == self.best[0]
            assert self.sender.outstanding == self.got - self.best[0]
            assert (self.sender.unacknowledged_since is not None) == (self.sender.outstanding > 0 or self.end_seen)
            assert self.ring.head >= self.best[0]


SenderModel.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestSenderModel = SenderModel.TestCase


def connected(data: bytes = b"", window: int = 1000, **options: bool | int) -> OutputSender:
    sender = OutputSender(RingBuffer(1000), **options)  # type: ignore[arg-type]
    sender.write(data)
    sender.connect(1, window, 0, 0.0)
    return sender


def test_prepare_then_start() -> None:
    sender = connected(b"hello", window=0)
    assert sender.corked
    assert sender.next_packet(0.0) is None
    sender.start(1000, 0.0)
    assert not sender.corked
    assert take(sender) == [Data(1, 0, b"hello")]


def test_the_first_acknowledgement_with_a_window_opens_a_corked_sender() -> None:
    sender = connected(b"hello", window=0)
    sender.receive_ack(Ack(1, 0, 0), 0.0)
    assert sender.next_packet(0.0) is None
    sender.receive_ack(Ack(1, 0, 3), 0.0)
    assert take(sender) == [Data(1, 0, b"hel")]


def test_what_fell_out_of_the_ring_is_reported_as_a_gap() -> None:
    sender = OutputSender(RingBuffer(4))
    sender.write(b"abcdefgh")
    assert sender.connect(1, 100, 1, 0.0) == 4
    assert take(sender) == [Data(1, 1, kind=GAP, skip=3), Data(1, 4, b"efgh")]
    assert sender.events() == [GapSent(1, 3)]


def test_unacknowledged_bytes_that_fell_out_while_disconnected_are_a_gap_too() -> None:
    sender = OutputSender(RingBuffer(4))
    sender.write(b"abcd")
    sender.connect(1, 100, 0, 0.0)
    take(sender)
    sender.receive_ack(Ack(1, 1, 100), 0.0)
    sender.disconnect()
    sender.write(b"ef")
    assert sender.connect(2, 100, 1, 0.0) == 2
    assert take(sender) == [Data(2, 1, kind=GAP, skip=1), Data(2, 2, b"cdef")]


def test_a_late_reader_gets_the_end_and_its_error_at_once() -> None:
    sender = connected(b"abc")
    sender.fail("disk on fire")
    assert take(sender) == [Data(1, 0, b"abc")]
    sender.receive_ack(Ack(1, 3, 1000), 0.0)
    assert take(sender) == [Data(1, 3, b"disk on fire", ERROR)]
    sender.receive_ack(Ack(1, 3, 1000, fin=True), 0.0)
    assert sender.done
    assert sender.error == "disk on fire"
    assert sender.connect(2, 10, 3, 0.0) == 3
    assert take(sender) == [Data(2, 3, b"disk on fire", ERROR)]
    sender.disconnect()
    sender.connect(3, 10, 0, 0.0)
    assert [packet.kind for packet in take(sender)] == [GAP]
    sender.receive_ack(Ack(3, 3, 10), 0.0)
    assert [packet.kind for packet in take(sender)] == [ERROR]


def test_the_end_needs_no_credit() -> None:
    sender = connected(b"abc", window=3)
    sender.finish()
    assert take(sender) == [Data(1, 0, b"abc"), Data(1, 3, kind=EOF)]


def test_crumbs_wait_for_an_acknowledgement_that_is_due() -> None:
    sender = connected(bytes(100), window=25, packet_bytes=10, packet_bytes_max=10, autotune=False)
    assert [len(packet.payload) for packet in take(sender)] == [10, 10]
    sender.receive_ack(Ack(1, 10, 16), 0.0)
    assert take(sender) == []
    sender.receive_ack(Ack(1, 20, 6), 0.0)
    assert [len(packet.payload) for packet in take(sender)] == [6]


def test_payloads_do_not_change_when_the_ring_goes_on() -> None:
    sender = OutputSender(RingBuffer(4))
    sender.write(b"abcd")
    sender.connect(1, 100, 0, 0.0)
    packet = take(sender)[0]
    sender.disconnect()
    sender.write(b"WXYZ")
    assert packet.payload == b"abcd"


def test_since_when_an_acknowledgement_is_owed() -> None:
    sender = connected(b"abc")
    assert sender.unacknowledged_since is None
    take(sender, 5.0)
    assert sender.unacknowledged_since == 5.0
    sender.receive_ack(Ack(1, 1, 100), 6.0)
    assert sender.unacknowledged_since == 6.0
    sender.receive_ack(Ack(1, 3, 100), 7.0)
    assert sender.unacknowledged_since is None
    assert sender.round_trip_s == 2.0
    sender.finish()
    take(sender, 8.0)
    assert sender.unacknowledged_since == 8.0


def test_mistakes_of_the_caller() -> None:
    sender = OutputSender()
    with pytest.raises(UsageError, match="without a connected reader"):
        sender.start(10, 0.0)
    with pytest.raises(UsageError, match="beyond the end"):
        sender.connect(1, 10, 1, 0.0)
    sender.connect(1, 10, 0, 0.0)
    with pytest.raises(UsageError, match="disconnect it first"):
        sender.connect(2, 10, 0, 0.0)
    sender.finish()
    assert sender.ended
    with pytest.raises(UsageError, match="after the end"):
        sender.write(b"x")
    for name in ("window_bytes", "packet_bytes"):
        with pytest.raises(UsageError, match=name):
            OutputSender(**{name: 0})  # type: ignore[arg-type]


def lossy(data: bytes) -> OutputSender:
    sender = connected(data, lossy=True, packet_bytes=10, packet_bytes_max=10, autotune=False)
    take(sender)
    return sender


def expire(sender: OutputSender) -> list[Data]:
    deadline = sender.next_deadline()
    assert deadline is not None
    sender.handle_timer(deadline)
    return take(sender, deadline)


def test_reliable_transports_need_no_timer() -> None:
    sender = connected(b"abc")
    take(sender)
    assert sender.next_deadline() is None
    sender.handle_timer(99.0)
    assert take(sender) == []


def test_what_is_lost_is_sent_again_after_a_timeout_that_doubles() -> None:
    sender = lossy(bytes(range(30)))
    assert sender.next_deadline() == 1.0
    assert expire(sender) == [Data(1, 0, bytes(range(10)))]
    assert sender.next_deadline() == 3.0
    sender.receive_ack(Ack(1, 30, 1000), 1.5)
    assert sender.next_deadline() is None
    assert sender.retransmits == 1


def test_a_partial_acknowledgement_sends_the_next_lost_packet_at_once() -> None:
    sender = lossy(bytes(30))
    expire(sender)
    sender.receive_ack(Ack(1, 10, 1000), 1.2)
    assert [packet.seq for packet in take(sender, 1.2)] == [10]


def test_repeated_acknowledgements_hint_at_a_loss_but_not_at_mere_reordering() -> None:
    sender = lossy(bytes(10))
    sender.receive_ack(Ack(1, 10, 1000), 0.1)
    sender.write(bytes(50))
    take(sender, 1.0)
    for _ in range(5):
        sender.receive_ack(Ack(1, 10, 1000), 1.05)
    assert take(sender, 1.05) == []
    sender.receive_ack(Ack(1, 10, 1000), 1.2)
    assert [packet.seq for packet in take(sender, 1.2)] == [10]


def test_a_lost_end_is_sent_again() -> None:
    sender = lossy(b"abc")
    sender.finish()
    take(sender)
    sender.receive_ack(Ack(1, 3, 1000), 0.1)
    assert expire(sender) == [Data(1, 3, kind=EOF)]


def test_a_lost_gap_is_sent_again() -> None:
    sender = OutputSender(RingBuffer(4), lossy=True)
    sender.write(b"abcdefgh")
    sender.connect(1, 100, 0, 0.0)
    take(sender)
    assert expire(sender) == [Data(1, 0, kind=GAP, skip=4)]


def test_a_closed_window_is_probed() -> None:
    sender = lossy(bytes(10))
    sender.receive_ack(Ack(1, 10, 0), 0.1)
    sender.write(b"more")
    assert take(sender, 0.1) == []
    assert expire(sender) == [Data(1, 10)]
    first = sender.next_deadline()
    assert expire(sender) == [Data(1, 10)]
    assert first is not None
    sender.receive_ack(Ack(1, 10, 4), first)
    assert take(sender, first) == [Data(1, 10, b"more")]
