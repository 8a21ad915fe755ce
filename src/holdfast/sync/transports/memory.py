"""A network in memory: for tests, simulations and groups within one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .base import Receive, TransportStats

CallLater = Callable[[float, Callable[..., None], Any], object]
"""``call_later(delay_s, callback, argument)``, as event loops have it."""
Fate = Callable[["MemoryTransport", "MemoryTransport", bytes], Sequence[float]]
"""What becomes of a message on its way: one delay in seconds for each copy that arrives; none: it is lost."""


def _call_later(delay_s: float, callback: Callable[..., None], message: bytes) -> object:
    import asyncio

    return asyncio.get_running_loop().call_later(delay_s, callback, message)


def _at_once(*_: object) -> Sequence[float]:
    return (0.0,)


class MemoryNetwork:
    """Carries what one transport of it is given to all others of it.

    ``fate`` decides what becomes of each message (default: it arrives at once); ``call_later`` makes time pass
    (default: the running event loop).  Neither knows chance or a clock of its own, so that a seed can replay it.
    """

    def __init__(self, *, call_later: CallLater | None = None, fate: Fate = _at_once) -> None:
        self._call_later = call_later
        self._fate = fate
        self._transports: list[MemoryTransport] = []

    def transport(self, name: str = "") -> MemoryTransport:
        """Another place in this network; ``name`` is for ``fate`` to know it by."""
        return MemoryTransport(self, name)

    def join(self, transport: MemoryTransport) -> None:
        """From now on it hears the others."""
        if transport not in self._transports:
            self._transports.append(transport)

    def leave(self, transport: MemoryTransport) -> None:
        """It hears nobody any more; what is on its way to it is lost."""
        if transport in self._transports:
            self._transports.remove(transport)

    def carry(self, sender: MemoryTransport, message: bytes) -> None:
        """Send to all others, as ``fate`` will have it."""
        fate, later = self._fate, self._call_later or _call_later
        for receiver in self._transports:
            if receiver is not sender:
                for delay_s in fate(sender, receiver, message):
                    later(delay_s, receiver.arrive, message)


class MemoryTransport:
    """One peer's place in a :class:`MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.name = name
        self._network = network
        self._receive: Receive | None = None
        self._sent = self._received = self._sent_bytes = self._received_bytes = 0

    async def open(self, receive: Receive) -> None:
        self.connect(receive)

    def connect(self, receive: Receive) -> None:
        """:meth:`open`, for those without an event loop."""
        self._receive = receive
        self._network.join(self)

    def send(self, message: bytes) -> None:
        self._sent += 1
        self._sent_bytes += len(message)
        self._network.carry(self, message)

    def arrive(self, message: bytes) -> None:
        """A message is here."""
        if self._receive is not None:
            self._received += 1
            self._received_bytes += len(message)
            self._receive(message)

    async def close(self) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """:meth:`close`, for those without an event loop."""
        self._receive = None
        self._network.leave(self)

    @property
    def stats(self) -> TransportStats:
        return TransportStats(
            messages_sent=self._sent,
            messages_received=self._received,
            datagrams_sent=self._sent,
            datagrams_received=self._received,
            bytes_sent=self._sent_bytes,
            bytes_received=self._received_bytes,
        )
