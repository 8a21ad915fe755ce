"""What one seed draws: the streams of a world, and what the network does to them."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from ..network import Faults

_SIZES = (0, 1, 100, 3_000, 12_000, 30_000)
_CAPACITIES = (16, 200, 1_500, 6_000)
_WINDOWS = (1, 24, 300, 2_000, 9_000)
_PACKETS = (1, 40, 256, 1_024)
_ITEMS_MAX = 400
"""Packets, writes or reads a stream needs about; small windows and pieces get small streams."""


class StreamPlan(NamedTuple):
    """One stream: its two ends, its source and its reader's habits.  Bytes and seconds."""

    size: int
    """Bytes the source has."""
    writer: bool
    """A Writer rather than an OutputSender."""
    overwrite: bool
    """The ring drops its oldest bytes while nobody is connected."""
    manual: bool
    """The reader acknowledges what it has made durable, and may crash."""
    capacity: int
    window: int
    first_window: int
    packet: int
    autotune: bool
    error: str
    """What the source fails with at its end; empty: it just ends."""
    ends_early: bool
    """The source ends as soon as it wrote all, faults or not; otherwise when the network has healed."""
    write_every_s: float
    write_bytes: int
    read_every_s: float
    read_bytes: int
    reads: int
    """Items read at a time."""
    cancel_at: int
    """The reader loses interest once it has read this many bytes; -1: never."""
    corked: bool
    """The sender is prepared first and opened by the reader's first acknowledgement."""


class WorldPlan(NamedTuple):
    """A world: its streams share one connection over one pipe."""

    streams: tuple[StreamPlan, ...]
    faults: Faults
    lossy: bool
    cut_every_s: float
    """Mean time between cuts; 0: none."""
    half_open: float
    """Share of the cuts that begin as silence."""
    crash: float
    """Share of the cuts in which manual readers lose what is not durable."""
    resize_every_s: float
    """Mean time between changes of a ring's window; 0: none."""
    phase1_s: float


def draw_world(seed: int) -> WorldPlan:
    """The world of ``seed``."""
    random = Random(seed)
    delay_s = random.choice((0.0, 0.001, 0.01, 0.05))
    lossy = random.random() < 0.4
    faults = Faults(
        delay_s=delay_s,
        skew_s=delay_s * random.choice((0.0, 0.0, 0.5, 1.0)),
        loss=random.choice((0.01, 0.1, 0.3)) if lossy else 0.0,
        duplicate=random.choice((0.0, 0.05, 0.5)),
        bandwidth_bytes_s=random.choice((0.0, 0.0, 20_000.0, 1e6)),
    )
    return WorldPlan(
        streams=tuple(draw_stream(random) for _ in range(random.choice((1, 1, 2, 4)))),
        faults=faults,
        lossy=lossy,
        cut_every_s=random.choice((0.0, 0.1, 0.5)),
        half_open=random.choice((0.0, 0.3)),
        crash=random.choice((0.0, 0.5)),
        resize_every_s=random.choice((0.0, 0.0, 0.1)),
        phase1_s=random.uniform(0.2, 2.0),
    )


def draw_stream(random: Random) -> StreamPlan:
    """One stream of a world."""
    capacity, window, packet = random.choice(_CAPACITIES), random.choice(_WINDOWS), random.choice(_PACKETS)
    write_bytes, read_bytes = random.choice((1, 60, 700, 5_000)), random.choice((1, 80, 4_000))
    first_window, autotune = random.choice(_WINDOWS), random.random() < 0.6
    narrow = window if autotune else min(window, first_window)
    size = min(random.choice(_SIZES), _ITEMS_MAX * min(capacity, narrow, packet, write_bytes, read_bytes * 4))
    writer = random.random() < 0.3
    return StreamPlan(
        size=size,
        writer=writer,
        overwrite=not writer and random.random() < 0.5,
        manual=random.random() < 0.4,
        capacity=capacity,
        window=window,
        first_window=first_window,
        packet=packet,
        autotune=autotune,
        error=random.choice(("", "", "", "disk on fire")),
        ends_early=random.random() < 0.5,
        write_every_s=random.choice((0.001, 0.01)),
        write_bytes=write_bytes,
        read_every_s=random.choice((0.0, 0.002, 0.02)),
        read_bytes=read_bytes,
        reads=random.choice((1, 5, 1_000)),
        cancel_at=random.randrange(0, size + 1) if random.random() < 0.1 else -1,
        corked=random.random() < 0.3,
    )
