"""Flow-controlled streams of bytes that survive their connection: a library of its own, with no daemon.

A stream carries bytes from one writer to one reader at absolute offsets.  Nothing in here does I/O, asks the
time or starts a task: hand every packet that arrives to the other end's ``receive_*``, send what ``next_packet``
and ``next_ack`` give, over whatever carries them, and pass the time as ``now``.

>>> from holdfast.streams import Chunk, End, OutputSender, Reader
>>> sender = OutputSender()
>>> sender.write(b"training epoch 1")           # nobody is watching: it is kept
16
>>> reader = Reader(stream_id=7, window_bytes=65536)
>>> sender.connect(7, reader.window_bytes, from_offset=0, now=0.0)
0
>>> sender.finish()
>>> def exchange(now: float) -> None:
...     while (packet := sender.next_packet(now)) is not None:
...         reader.receive_data(packet, now)
...     while (ack := reader.next_ack()) is not None:
...         sender.receive_ack(ack, now)
>>> exchange(now=0.02)
>>> reader.read()
Chunk(offset=0, data=b'training epoch 1', tag=0)
>>> reader.read()
End(offset=16)
>>> exchange(now=0.04)
>>> sender.done
True

When the link is cut, :meth:`OutputSender.disconnect` and later ``connect`` again from the offset the reader has;
what was dropped in between is reported to the reader as a :class:`Gap`, never skipped in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .broker import Broker, BrokerEvents
    from .events import Finished, GapSent, ReaderCancelled, SenderEvent
    from .packets import BYTES, EOF, ERROR, GAP, Ack, Data, Payload
    from .reader import Chunk, End, Failed, Gap, Item, Reader
    from .ring import Buffer, RingBuffer
    from .sender import OutputSender
    from .writer import Writer

_HOMES = {
    "broker": ("Broker", "BrokerEvents"),
    "events": ("Finished", "GapSent", "ReaderCancelled", "SenderEvent"),
    "packets": ("BYTES", "EOF", "ERROR", "GAP", "Ack", "Data", "Payload"),
    "reader": ("Chunk", "End", "Failed", "Gap", "Item", "Reader"),
    "ring": ("Buffer", "RingBuffer"),
    "sender": ("OutputSender",),
    "writer": ("Writer",),
}
"""Imported when they are asked for: a command that reads no stream does without most of them."""

__all__ = [
    "BYTES",
    "EOF",
    "ERROR",
    "GAP",
    "Ack",
    "Broker",
    "BrokerEvents",
    "Buffer",
    "Chunk",
    "Data",
    "End",
    "Failed",
    "Finished",
    "Gap",
    "GapSent",
    "Item",
    "OutputSender",
    "Payload",
    "Reader",
    "ReaderCancelled",
    "RingBuffer",
    "SenderEvent",
    "Writer",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
