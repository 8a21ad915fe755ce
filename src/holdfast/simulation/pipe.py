"""The delivery pipe between the two ends of a stream, and the bridges that tie it to their brokers."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ProtocolError
from ..streams import BYTES, Ack, Broker, Data
from .network import Faults, Lane
from .world import World

PACKET_OVERHEAD_BYTES = 32
"""What a packet takes beside its payload, as on a real wire."""


class DeliveryPipe:
    """Two lanes, one for data and one for acknowledgements; the data lane alone has the narrow place."""

    __slots__ = ("_highest", "acks", "data", "out_of_order")

    def __init__(self, world: World, faults: Faults) -> None:
        self.data: Lane[Data] = Lane(world, faults, _nobody)
        self.acks: Lane[Ack] = Lane(world, faults._replace(bandwidth_bytes_s=0.0), _nobody)
        self.out_of_order = 0
        """Data packets that arrived after one that was sent later."""
        self._highest = (-1, -1)

    def change(self, faults: Faults) -> None:
        """Both lanes behave like ``faults`` from now on."""
        self.data.change(faults)
        self.acks.change(faults._replace(bandwidth_bytes_s=0.0))

    def cut(self) -> None:
        """Break the link: everything in flight is lost."""
        self.data.cut()
        self.acks.cut()

    def heal(self) -> None:
        """The link is there again."""
        self.data.heal()
        self.acks.heal()

    def note_arrival(self, packet: Data) -> None:
        """Count packets that were overtaken."""
        position = (packet.stream, packet.seq)
        if position < self._highest:
            self.out_of_order += 1
        else:
            self._highest = position


class WriterBridge:
    """The writer's end: sends data, receives acknowledgements, refuses anything else.

    ``on_ack`` is called after each acknowledgement the broker took.
    """

    __slots__ = ("_broker", "_on_ack", "_pipe", "_world")

    def __init__(self, world: World, broker: Broker, pipe: DeliveryPipe, on_ack: Callable[[], None]) -> None:
        self._world = world
        self._broker = broker
        self._pipe = pipe
        self._on_ack = on_ack
        pipe.acks.deliver = self.receive

    def send(self, packet: Data) -> None:
        """Put a data packet on its way; ProtocolError for an acknowledgement."""
        if type(packet) is not Data:
            raise ProtocolError(f"the writer's side sends data, not {type(packet).__name__}", reason="direction")
        self._pipe.data.send(packet, len(packet.payload) + PACKET_OVERHEAD_BYTES)

    def receive(self, ack: Ack) -> None:
        """Hand an acknowledgement to the broker; ProtocolError for data."""
        if type(ack) is not Ack:
            raise ProtocolError(
                f"the writer's side receives acknowledgements, not {type(ack).__name__}", reason="direction"
            )
        self._broker.receive_ack(ack, self._world.now())
        self._on_ack()

    def flush(self) -> None:
        """Send all the broker has to send."""
        now = self._world.now()
        while (packet := self._broker.next_packet(now)) is not None:
            self.send(packet)


class ReaderBridge:
    """The reader's end: receives data, sends acknowledgements, refuses anything else.

    ``on_data`` is called after each packet the broker took.
    """

    __slots__ = ("_broker", "_on_data", "_pipe", "_world")

    def __init__(self, world: World, broker: Broker, pipe: DeliveryPipe, on_data: Callable[[], None]) -> None:
        self._world = world
        self._broker = broker
        self._pipe = pipe
        self._on_data = on_data
        pipe.data.deliver = self.receive

    def send(self, ack: Ack) -> None:
        """Put an acknowledgement on its way; ProtocolError for data."""
        if type(ack) is not Ack:
            raise ProtocolError(
                f"the reader's side sends acknowledgements, not {type(ack).__name__}", reason="direction"
            )
        self._pipe.acks.send(ack, PACKET_OVERHEAD_BYTES)

    def receive(self, packet: Data) -> None:
        """Hand a data packet to the broker; ProtocolError for an acknowledgement."""
        if type(packet) is not Data:
            raise ProtocolError(f"the reader's side receives data, not {type(packet).__name__}", reason="direction")
        if packet.kind == BYTES:
            self._pipe.note_arrival(packet)
        self._broker.receive_data(packet, self._world.now())
        self._on_data()

    def flush(self) -> None:
        """Send all acknowledgements that are due."""
        while (ack := self._broker.next_ack()) is not None:
            self.send(ack)


def _nobody(item: object) -> None:
    """What arrives before a bridge is there is lost, as on a socket nobody reads."""
