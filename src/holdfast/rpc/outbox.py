"""What waits to be sent on one connection, and in which order it leaves.

Pings and their answers go first, then acknowledgements, which are small and at most one per stream, then control frames
in order, so that a call never overtakes an acknowledgement made before it; then data, one packet per stream in turn.
Data is asked for only when it can leave, so that a keystroke waits behind one packet, not behind a replay.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .frames import DATA_HEADER_BYTES, PREAMBLE, FrameType, encode_ack, encode_data, encode_opaque

if TYPE_CHECKING:
    from ..streams.broker import Broker

_PONGS_MAX = 16
"""Answers to pings that wait at once; a peer that pings more often without reading loses the oldest."""


class Outbox:
    """The queues of one connection."""

    __slots__ = ("_control", "_greeting", "_ping", "_pongs", "_preamble", "control_bytes")

    def __init__(self) -> None:
        self._preamble = PREAMBLE
        self._greeting: list[bytes] = []
        self._control: deque[bytes] = deque()
        self._ping: int | None = None
        self._pongs: deque[int] = deque(maxlen=_PONGS_MAX)
        self.control_bytes = 0
        """Bytes of control frames that wait."""

    @property
    def has_control(self) -> bool:
        """Whether anything but acknowledgements and data waits."""
        return bool(self._control or self._greeting or self._pongs or self._ping is not None)

    def put_greeting(self, frame: bytes) -> None:
        """Queue a frame of the handshake, ahead of everything else."""
        self._greeting.append(frame)

    def put(self, frame: bytes) -> None:
        """Queue a control frame."""
        self._control.append(frame)
        self.control_bytes += len(frame)

    def ping(self, opaque: int) -> None:
        """Queue a ping; one that has not left yet is replaced."""
        self._ping = opaque

    def pong(self, opaque: int) -> None:
        """Queue the answer to a ping."""
        self._pongs.append(opaque)

    def clear(self) -> None:
        """Drop what has not left, but for the handshake, which a peer needs to understand a goodbye."""
        self._control.clear()
        self._pongs.clear()
        self._ping = None
        self.control_bytes = 0

    def take_urgent(self, out: list[bytes], room: int) -> int:
        """Move the handshake, pings and their answers to ``out``; the room that remains, perhaps less than none."""
        if self._greeting or (self._preamble and self._control):
            greeting = self._preamble + b"".join(self._greeting)
            self._preamble = b""
            self._greeting.clear()
            room = _append(out, greeting, room)
        while self._pongs:
            room = _append(out, encode_opaque(FrameType.PONG, self._pongs.popleft()), room)
        if self._ping is not None:
            room = _append(out, encode_opaque(FrameType.PING, self._ping), room)
            self._ping = None
        return room

    def take_control(self, out: list[bytes], room: int) -> int:
        """Move control frames to ``out`` until ``room`` bytes are full or none is left; the room that remains."""
        while self._control and room > 0:
            frame = self._control.popleft()
            self.control_bytes -= len(frame)
            room = _append(out, frame, room)
        return room


def take_acks(broker: Broker, out: list[bytes], room: int) -> int:
    """Move the broker's acknowledgements to ``out`` while there is room; the room that remains."""
    while room > 0:
        ack = broker.next_ack()
        if ack is None:
            break
        room = _append(out, encode_ack(ack), room)
    return room


def take_packets(broker: Broker, out: list[bytes], room: int, now: float) -> int:
    """Move the broker's packets to ``out``, fairly, while there is room; the room that remains."""
    while room > 0:
        packet = broker.next_packet(now)
        if packet is None:
            break
        out += encode_data(packet)
        room -= len(packet[2]) + DATA_HEADER_BYTES
    return room


def _append(out: list[bytes], frame: bytes, room: int) -> int:
    out.append(frame)
    return room - len(frame)
