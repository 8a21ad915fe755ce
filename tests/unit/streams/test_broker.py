from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.streams import EOF, Ack, Broker, Chunk, Data, End, OutputSender, Reader, RingBuffer, Writer


def writer(broker: Broker, stream_id: int, data: bytes = b"", **options: bool) -> Writer:
    made = Writer(stream_id, window=1 << 20, packet_bytes=10, packet_bytes_max=10, **options)
    made.write(data)
    broker.add_sender(made)
    return made


def packets(broker: Broker, now: float = 0.0) -> list[Data]:
    found = []
    while (packet := broker.next_packet(now)) is not None:
        found.append(packet)
    return found


def acks(broker: Broker) -> list[Ack]:
    found = []
    while (ack := broker.next_ack()) is not None:
        found.append(ack)
    return found


def exchange(sending: Broker, reading: Broker, now: float = 0.0) -> None:
    for packet in packets(sending, now):
        reading.receive_data(packet, now)
    for ack in acks(reading):
        sending.receive_ack(ack, now)


@pytest.mark.parametrize("stream_id", [-1, 1 << 32, 10**30])
def test_a_number_that_no_frame_can_carry_is_refused(stream_id: int) -> None:
    broker = Broker()
    with pytest.raises(UsageError, match="within 0 and 4294967295"):
        broker.add_reader(Reader(stream_id))
    with pytest.raises(UsageError, match="within 0 and 4294967295"):
        writer(broker, stream_id)
    assert not len(broker)


def test_one_packet_per_stream_per_turn() -> None:
    broker = Broker()
    for stream_id, size in ((1, 50), (2, 10), (3, 30)):
        writer(broker, stream_id, bytes(size))
    assert [packet.stream for packet in packets(broker)] == [1, 2, 3, 1, 3, 1, 3, 1, 1]


def test_a_keystroke_does_not_wait_for_a_replay() -> None:
    broker = Broker()
    writer(broker, 1, bytes(10_000))
    typed = writer(broker, 2)
    for _ in range(5):
        broker.next_packet(0.0)
    typed.write(b"x")
    broker.ready(2)
    assert 2 in {packet.stream for packet in (broker.next_packet(0.0), broker.next_packet(0.0)) if packet}


def test_idle_streams_cost_nothing() -> None:
    broker = Broker()
    for stream_id in range(1000):
        writer(broker, stream_id)
    assert packets(broker) == []
    assert len(broker._packet_queue) == 0
    busy = broker.sender(500)
    assert busy is not None
    busy.write(bytes(100))
    broker.ready(500)
    assert [packet.stream for packet in packets(broker)] == [500] * 10


def test_from_end_to_end() -> None:
    sending, reading = Broker(), Broker()
    source = writer(sending, 7, b"hello")
    source.close()
    reader = Reader(7)
    reading.add_reader(reader)
    exchange(sending, reading)
    assert reading.events().readable == (7,)
    assert sending.events().finished == (7,)
    assert [reader.read(), reader.read(), reader.read()] == [Chunk(0, b"hello", 0), End(5), None]
    reading.ready(7)
    assert acks(reading) == []
    assert reading.events().finished == (7,)
    assert len(sending) == len(reading) == 0


def test_acknowledgements_are_coalesced_and_writers_are_told_of_room() -> None:
    sending, reading = Broker(), Broker()
    writer(sending, 1, bytes(30))
    reading.add_reader(Reader(1))
    for packet in packets(sending):
        reading.receive_data(packet, 0.0)
    assert acks(reading) == [Ack(1, 30, 65506)]
    sending.receive_ack(Ack(1, 30, 65506), 0.0)
    assert sending.events().writable == (1,)
    assert sending.events().writable == ()


def test_reading_returns_credit_once_the_broker_is_told() -> None:
    reading = Broker()
    reader = Reader(1, window_bytes=10)
    reading.add_reader(reader)
    reading.receive_data(Data(1, 0, bytes(10)), 0.0)
    acks(reading)
    reader.read()
    assert acks(reading) == []
    reading.ready(1)
    assert acks(reading) == [Ack(1, 10, 10)]


def test_unknown_streams_are_cancelled_once_a_second_each() -> None:
    broker = Broker()
    for _ in range(3):
        broker.receive_data(Data(9, 0, b"x"), 5.0)
        broker.receive_data(Data(8, 0, b"x"), 5.0)
    refused = Ack(9, 0, 0, cancel=True, error="unknown stream")
    assert acks(broker) == [refused, refused._replace(stream=8)]
    broker.receive_data(Data(9, 0, b"x"), 5.9)
    assert acks(broker) == []
    broker.receive_data(Data(9, 0, b"x"), 6.0)
    assert acks(broker) == [refused]
    broker.receive_ack(Ack(77, 0, 0), 6.0)


def test_a_flood_of_unknown_streams_costs_bounded_memory() -> None:
    broker = Broker()
    for stream_id in range(100_000):
        broker.receive_data(Data(stream_id, 0, b"x"), stream_id * 1e-6)
    assert len(broker._cancelled_at) <= 256
    assert len(broker._cancels) <= 256
    assert len(acks(broker)) <= 256


def test_a_cancelled_stream_is_removed_at_both_ends() -> None:
    sending, reading = Broker(), Broker()
    source = writer(sending, 1, bytes(100))
    reader = Reader(1)
    reading.add_reader(reader)
    reader.close("seen enough")
    reading.ready(1)
    exchange(sending, reading)
    assert source.cancelled
    assert len(sending) == len(reading) == 0
    assert reading.events().finished == sending.events().finished == (1,)


def test_the_last_word_is_repeated_to_who_missed_it() -> None:
    reading = Broker()
    reader = Reader(1)
    reading.add_reader(reader)
    reading.receive_data(Data(1, 0, kind=EOF), 0.0)
    reader.read()
    assert acks(reading) == [Ack(1, 0, 65536, fin=True)]
    assert 1 not in reading
    reading.receive_data(Data(1, 0, kind=EOF), 2.0)
    assert acks(reading) == [Ack(1, 0, 65536, fin=True)]


def test_a_million_streams_leave_nothing_behind() -> None:
    """Ten thousand stand for them: what grows would have grown by then."""
    sending, reading = Broker(), Broker()
    sender = OutputSender(RingBuffer(16))
    sender.write(b"abc")
    sender.finish()
    for stream_id in range(10_000):
        sender.connect(stream_id, 100, 3, 0.0)
        sending.add_sender(sender)
        reader = Reader(stream_id, start_offset=3)
        reading.add_reader(reader)
        exchange(sending, reading)
        assert reader.read() == End(3)
        reading.ready(stream_id)
        reading.events()
        sending.events()
    for broker in (sending, reading):
        assert len(broker) == 0
        for name in set(broker.__slots__) - {"_streams_max"}:
            assert len(getattr(broker, name)) <= 256, name


def test_senders_that_disconnect_leave() -> None:
    broker = Broker()
    sender = OutputSender()
    with pytest.raises(UsageError, match="connect the sender"):
        broker.add_sender(sender)
    sender.connect(1, 100, 0, 0.0)
    broker.add_sender(sender)
    sender.write(b"abc")
    sender.disconnect()
    broker.ready(1)
    assert packets(broker) == []
    assert 1 not in broker


def test_a_sender_that_moved_to_another_stream_does_not_speak_on_the_old_one() -> None:
    broker = Broker()
    sender = OutputSender()
    sender.write(b"abc")
    sender.connect(1, 100, 0, 0.0)
    broker.add_sender(sender)
    sender.disconnect()
    sender.connect(2, 100, 0, 0.0)
    broker.add_sender(sender)
    assert packets(broker) == [Data(2, 0, b"abc")]
    assert 1 not in broker
    assert 2 in broker


def test_ids_are_used_once_at_a_time_and_can_be_removed() -> None:
    broker = Broker()
    writer(broker, 1, b"abc")
    with pytest.raises(UsageError, match="in use"):
        broker.add_reader(Reader(1))
    broker.remove(1)
    broker.remove(1)
    assert packets(broker) == []
    broker.add_reader(Reader(1))
    assert broker.reader(1) is not None
    assert broker.sender(1) is None
    assert broker.reader(2) is None
    broker.ready(3)


def test_lossy_streams_get_their_timer() -> None:
    broker = Broker()
    first = writer(broker, 1, b"first", lossy=True)
    assert len(packets(broker, 0.0)) == 1
    writer(broker, 2, b"second", lossy=True)
    assert len(packets(broker, 0.5)) == 1
    assert broker.next_deadline() == 1.0
    broker.handle_timer(1.0)
    assert [packet.stream for packet in packets(broker, 1.0)] == [1]
    first.receive_ack(Ack(1, 5, 100), 1.1)
    broker.handle_timer(1.5)
    assert [packet.stream for packet in packets(broker, 1.5)] == [2]
    broker.remove(2)
    broker.handle_timer(99.0)
    assert packets(broker, 99.0) == []
    assert broker.next_deadline() is None
