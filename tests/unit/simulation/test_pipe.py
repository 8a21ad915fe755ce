from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import ProtocolError
from holdfast.simulation.network import Faults
from holdfast.simulation.pipe import DeliveryPipe, ReaderBridge, WriterBridge
from holdfast.simulation.world import World
from holdfast.streams import Ack, Broker, Data, Reader, Writer


def test_a_stream_crosses_the_pipe() -> None:
    world = World()
    pipe = DeliveryPipe(world, Faults(delay_s=1.0, bandwidth_bytes_s=1000.0))
    writing, reading = Broker(), Broker()
    writer, reader = Writer(1, window=100), Reader(1, window_bytes=100)
    writing.add_sender(writer)
    reading.add_reader(reader)
    writer_bridge = WriterBridge(world, writing, pipe, lambda: None)

    def acknowledge() -> None:
        reader_bridge.flush()

    reader_bridge = ReaderBridge(world, reading, pipe, acknowledge)
    writer.write(b"hello")
    writing.ready(1)
    writer_bridge.flush()
    while world.step():
        pass
    assert writer.acknowledged == 5
    assert world.now() == pytest.approx(1.037 + 1.0)
    assert (pipe.data.sent, pipe.acks.sent) == (1, 1)


def test_bridges_refuse_the_wrong_direction() -> None:
    world = World()
    pipe = DeliveryPipe(world, Faults())
    writer: Any = WriterBridge(world, Broker(), pipe, lambda: None)
    reader: Any = ReaderBridge(world, Broker(), pipe, lambda: None)
    for refuse, item in (
        (writer.send, Ack(1, 0, 0)),
        (writer.receive, Data(1, 0)),
        (reader.send, Data(1, 0)),
        (reader.receive, Ack(1, 0, 0)),
    ):
        with pytest.raises(ProtocolError, match="side") as caught:
            refuse(item)
        assert caught.value.reason == "direction"


def test_overtaken_packets_are_counted() -> None:
    pipe = DeliveryPipe(World(), Faults())
    for seq in (0, 20, 10, 30, 5):
        pipe.note_arrival(Data(1, seq))
    pipe.note_arrival(Data(2, 0))
    assert pipe.out_of_order == 2


def test_cut_heal_and_change_reach_both_lanes() -> None:
    pipe = DeliveryPipe(World(), Faults())
    pipe.cut()
    assert not pipe.data.up
    assert not pipe.acks.up
    pipe.heal()
    pipe.change(Faults(delay_s=1.0, bandwidth_bytes_s=5.0))
    assert pipe.data.faults == Faults(delay_s=1.0, bandwidth_bytes_s=5.0)
    assert pipe.acks.faults == Faults(delay_s=1.0)
    pipe.data.deliver(Data(1, 0))
