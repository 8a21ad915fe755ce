"""What a simulated transfer is asked to do, checked, and what follows from it."""

from __future__ import annotations

from typing import NamedTuple

from ...errors import UsageError
from ...limits import LIMITS
from ..network import Faults

MANAGER = "manager"
WRITER = "writer"
MODES = (MANAGER, WRITER)
VIRTUAL = "virtual"
REAL = "real"
CLOCKS = (VIRTUAL, REAL)
_LOSS_MAX = 0.9
"""More loss than this only shows how patient the user is."""
_AUTO_RING_BYTES_MAX = 256 * 1024 * 1024
_AUTO_RING_BYTES_UNKNOWN = 16 * 1024 * 1024
"""Ring for an automatic window over a link without a given bandwidth."""


class StreamOptions(NamedTuple):
    """The options of ``holdfast sim stream``, in seconds, bytes and shares."""

    mode: str = MANAGER
    size: int = 10 * 1024 * 1024
    delay_s: float = 0.0
    """One way, on each lane."""
    skew_s: float = 0.0
    window: int | None = 64 * 1024
    """Bytes; None measures it."""
    packet: int | None = None
    slow_reader: float = 0.0
    """Bytes per second; 0: as fast as it can."""
    loss: float = 0.0
    duplicate: float = 0.0
    bandwidth: float = 0.0
    """Bytes per second; 0: no narrow place."""
    disconnect_every_s: float = 0.0
    half_open: bool = False
    seed: int = 0
    clock: str = VIRTUAL

    @property
    def rtt_s(self) -> float:
        """Mean round trip of the pipe."""
        return 2 * self.delay_s

    @property
    def faults(self) -> Faults:
        """What the pipe does to each lane."""
        return Faults(self.delay_s, self.skew_s, self.loss, self.duplicate, self.bandwidth)

    @property
    def lossy(self) -> bool:
        """Whether packets may be lost without the link breaking."""
        return self.loss > 0

    @property
    def ring_bytes(self) -> int:
        """The sender's ring: room for two windows, or for twice what the link holds."""
        if self.window is not None:
            return max(LIMITS.ring_bytes, 2 * self.window)
        if not self.bandwidth:
            return _AUTO_RING_BYTES_UNKNOWN if self.delay_s else LIMITS.ring_bytes
        held = 2 * self.bandwidth * 2 * (self.delay_s + self.skew_s)
        return min(max(LIMITS.ring_bytes, int(held)), _AUTO_RING_BYTES_MAX)

    @property
    def reader_window_bytes(self) -> int:
        """The reader's window."""
        return self.ring_bytes if self.window is None else self.window

    @property
    def packet_bytes(self) -> int:
        """Payload of a packet under a fixed window.

        A packet is not reordered within itself, so without a narrow place it is as large as the window allows;
        with one, a quarter of the window, so that the link carries one while the next is being acknowledged.
        """
        if self.packet is not None:
            return self.packet
        if self.window is None:
            return LIMITS.packet_bytes
        share = self.window // 4 if self.bandwidth else self.window
        return min(max(1, share), LIMITS.packet_bytes_max)

    def limit(self) -> tuple[str, float] | None:
        """What bounds the throughput, and to how many bytes per second; None if nothing does."""
        limits = [("bandwidth", self.bandwidth), ("slow-reader", self.slow_reader)]
        if self.rtt_s:
            limits.append(("window/rtt", self.reader_window_bytes / self.rtt_s))
        known = [(rate, name) for name, rate in limits if rate]
        if not known:
            return None
        rate, name = min(known)
        return name, rate


def check_options(options: StreamOptions) -> StreamOptions:
    """``options`` itself; UsageError naming the option that makes no sense, and why."""
    _require(options.mode in MODES, "mode", f"{options.mode!r} is none of {', '.join(MODES)}")
    _require(options.clock in CLOCKS, "clock", f"{options.clock!r} is none of {', '.join(CLOCKS)}")
    _require(options.size >= 0, "size", "must not be negative")
    _require(options.delay_s >= 0, "delay", "must not be negative")
    _require(options.skew_s >= 0, "skew", "must not be negative")
    _require(
        options.skew_s <= options.delay_s,
        "skew",
        f"{options.skew_s:g} s is more than the delay of {options.delay_s:g} s: nothing arrives before it was sent",
    )
    _require(options.window is None or options.window >= 1, "window", "must be at least 1 byte, or auto")
    _require(options.packet is None or options.packet >= 1, "packet", "must be at least 1 byte")
    _require(
        (options.packet or 1) <= LIMITS.packet_bytes_max,
        "packet",
        f"{options.packet} bytes is over the limit packet_bytes_max = {LIMITS.packet_bytes_max}",
    )
    _require(0 <= options.loss <= _LOSS_MAX, "loss", f"{options.loss:g} is not a share from 0 to {_LOSS_MAX:g}")
    _require(0 <= options.duplicate <= 1, "duplicate", f"{options.duplicate:g} is not a share from 0 to 1")
    _require(options.slow_reader >= 0, "slow-reader", "must not be negative")
    _require(options.bandwidth >= 0, "bandwidth", "must not be negative")
    _check_disconnects(options)
    return options


def _check_disconnects(options: StreamOptions) -> None:
    every = options.disconnect_every_s
    _require(every >= 0, "disconnect-every", "must not be negative")
    if every:
        least = 4 * (options.delay_s + options.skew_s)
        _require(
            every > least,
            "disconnect-every",
            f"{every:g} s leaves no time to get anything across; more than {least:g} s (two round trips) does",
        )


def _require(condition: bool, option: str, trouble: str) -> None:
    if not condition:
        raise UsageError(f"--{option}: {trouble}", field=option)
