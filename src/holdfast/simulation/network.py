"""A faulty network, one direction at a time: delay, skew, loss, duplication, a narrow place, a cut, silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from ..errors import UsageError
from .world import World

T = TypeVar("T")


class Faults(NamedTuple):
    """What one direction of a link does to what it carries.  All zero: everything arrives at once, in order."""

    delay_s: float = 0.0
    """From one end to the other."""
    skew_s: float = 0.0
    """Each item takes up to this much less or more, uniformly: items overtake each other."""
    loss: float = 0.0
    """Share of items that never arrive, 0 to 1."""
    duplicate: float = 0.0
    """Share of items that arrive twice, 0 to 1."""
    bandwidth_bytes_s: float = 0.0
    """Items queue for a place this wide, without limit; 0: no such place."""


def check_faults(faults: Faults) -> Faults:
    """``faults`` itself; UsageError naming the field that makes no sense."""
    for name, value in zip(faults._fields, faults, strict=True):
        if value < 0:
            raise UsageError(f"{name}: must not be negative, not {value:g}", field=name)
    for name, share in (("loss", faults.loss), ("duplicate", faults.duplicate)):
        if share > 1:
            raise UsageError(f"{name}: is a share from 0 to 1, not {share:g}", field=name)
    return faults


class Lane(Generic[T]):
    """One direction of a link in ``world``: what :meth:`send` is given, ``deliver`` gets, later, or not at all."""

    __slots__ = (
        "_busy_until",
        "_epoch",
        "_plain",
        "_world",
        "arrived",
        "deliver",
        "duplicated",
        "faults",
        "high_water_bytes",
        "in_flight_bytes",
        "lost",
        "on_change",
        "sent",
        "silent",
        "up",
    )

    def __init__(self, world: World, faults: Faults, deliver: Callable[[T], None]) -> None:
        self._world = world
        self._epoch = 0
        self._busy_until = 0.0
        self.deliver = deliver
        self.up = True
        """Whether the link is there; the ends of a real one would know when it is not."""
        self.silent = False
        """Half open: everything is swallowed, and nobody is told."""
        self.sent = 0
        self.arrived = 0
        self.lost = 0
        self.duplicated = 0
        self.in_flight_bytes = 0
        self.high_water_bytes = 0
        self.on_change: Callable[[float, int], None] | None = None
        """Told the time and the bytes in flight whenever these change."""
        self.change(faults)

    def change(self, faults: Faults) -> None:
        """Behave like ``faults`` for what is sent from now on."""
        self.faults = check_faults(faults)
        self._plain = not any(faults)

    def send(self, item: T, size_bytes: int) -> None:
        """Put ``item`` on its way; ``size_bytes`` is what it takes of the bandwidth."""
        self.sent += 1
        if not self.up or self.silent:
            self.lost += 1
            return
        if self._plain:
            self._add(size_bytes)
            self._world.soon(self._arrive, item, size_bytes, self._epoch)
            return
        faults, chance = self.faults, self._world.random
        ready_at = self._through_narrow_place(size_bytes)
        if faults.loss and chance.random() < faults.loss:
            self.lost += 1
            return
        copies = 1
        if faults.duplicate and chance.random() < faults.duplicate:
            self.duplicated += 1
            copies = 2
        for _ in range(copies):
            delay = faults.delay_s + (chance.uniform(-faults.skew_s, faults.skew_s) if faults.skew_s else 0.0)
            self._add(size_bytes)
            self._world.at(ready_at + max(0.0, delay), self._arrive, item, size_bytes, self._epoch)

    def cut(self) -> None:
        """The link breaks: what is on its way is lost, and so is what is sent until :meth:`heal`."""
        self.up = False
        self._epoch += 1
        self._busy_until = 0.0
        self.in_flight_bytes = 0
        self._changed()

    def heal(self) -> None:
        """The link is there again, and carries what is sent from now on."""
        self.up = True
        self.silent = False

    def _through_narrow_place(self, size_bytes: int) -> float:
        now = self._world.now()
        if not self.faults.bandwidth_bytes_s:
            return now
        self._busy_until = max(now, self._busy_until) + size_bytes / self.faults.bandwidth_bytes_s
        return self._busy_until

    def _arrive(self, item: T, size_bytes: int, epoch: int) -> None:
        if epoch != self._epoch:
            self.lost += 1
            return
        self.in_flight_bytes -= size_bytes
        self._changed()
        if self.silent:
            self.lost += 1
            return
        self.arrived += 1
        self.deliver(item)

    def _add(self, size_bytes: int) -> None:
        self.in_flight_bytes += size_bytes
        self.high_water_bytes = max(self.high_water_bytes, self.in_flight_bytes)
        self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self._world.now(), self.in_flight_bytes)
