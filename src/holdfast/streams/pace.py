"""How much a sender keeps under way, and in how large packets: measured, not configured."""

from __future__ import annotations

from ..errors import UsageError

GAIN = 4.0
"""The window aims at this many times what one undisturbed round trip was seen to deliver: it grows fourfold a
round trip until the path is full, and then leaves it a queue of three; the transport does the rest."""
GAIN_LOSSY = 2.0
"""The same over a transport that drops what its queues cannot hold."""
TRAIN_GAIN = 2.0
"""Acknowledgements that come one after another tell the path's rate within the first round trip; the window aims at
this many times what that rate delivers in one, but grows at most by TRAIN_GROWTH_MAX, for they may come in clumps."""
TRAIN_GROWTH_MAX = 64
LOSS_FACTOR = 0.7
"""What a loss leaves of the window."""
FIRST_TIMEOUT_S = 1.0
"""Retransmission timeout before any round trip was measured (RFC 6298)."""
TIMEOUT_MIN_S = 0.02
"""Least retransmission timeout: shells batch acknowledgements for less than this."""
TIMEOUT_MAX_S = 30.0
"""Greatest retransmission timeout, however often it was doubled."""


class Pace:
    """The congestion window of one connected sender, in bytes, and the size of its packets.

    ``window`` is the first window; ``window_max`` bounds its growth.  With ``autotune`` the window grows by
    delivery rate x round trip and packets from ``packet`` to ``packet_max``; without, both stay.
    One round trip is timed at a time: from a packet to the acknowledgement that covers it.
    """

    __slots__ = (
        "_autotune",
        "_gain",
        "_lossy",
        "_mark_base",
        "_marked_at",
        "_packet_max",
        "_packet_min",
        "_train_at",
        "_window_max",
        "mark",
        "packet",
        "rtt",
        "rtt_min",
        "rtt_variation",
        "train_offset",
        "window",
    )

    def __init__(
        self, *, window: int, window_max: int, packet: int, packet_max: int, autotune: bool, lossy: bool
    ) -> None:
        for name, value in (("window_bytes", window), ("packet_bytes", packet)):
            if value < 1:
                raise UsageError(f"{name}: must be at least 1, not {value}", field=name)
        self.window = window
        self.packet = packet
        self.mark = -1
        """The timed offset, or -1."""
        self.rtt: float | None = None
        """Smoothed round trip in seconds, once one was measured."""
        self.rtt_min = 0.0
        self.rtt_variation = 0.0
        self._window_max = max(window, window_max)
        self._packet_min = packet
        self._packet_max = max(packet, packet_max)
        self._autotune = autotune
        self._lossy = lossy
        self._gain = GAIN_LOSSY if lossy else GAIN
        self._mark_base = 0
        self._marked_at = 0.0
        self.train_offset = -1
        """What the first acknowledgement since the timing began covered, or -1."""
        self._train_at = 0.0
        self._resize(window)

    def begin(self, end: int, acknowledged: int, now: float) -> None:
        """Time the packet that ends at offset ``end``, sent ``now`` with all below ``acknowledged`` done."""
        self.mark = end
        self._mark_base = acknowledged
        self._marked_at = now
        self.train_offset = -1

    def train(self, acknowledged: int, now: float) -> None:
        """The first acknowledgement since :meth:`begin`: the rate is measured from here."""
        self.train_offset = acknowledged
        self._train_at = now

    def forget(self) -> None:
        """Do not use the timing under way: a packet was sent twice, and its acknowledgement may mean either."""
        self.mark = -1

    def end(self, acknowledged: int, now: float, reader_window: int) -> None:
        """The timed packet is covered by ``acknowledged``; more than the reader's window is no use."""
        self.mark = -1
        elapsed = max(0.0, now - self._marked_at)
        self._measure(elapsed)
        if self._autotune:
            delivered = acknowledged - self._mark_base
            aim = max(self._aim_by_round_trip(delivered, elapsed), self._aim_by_train(acknowledged, now))
            self._resize(max(self.window, min(aim, max(delivered, reader_window))))

    def lost(self) -> None:
        """A packet was lost: the path holds less than we thought."""
        if self._autotune:
            self._resize(max(int(self.window * LOSS_FACTOR), 2 * self._packet_min))

    def timeout_s(self) -> float:
        """How long an acknowledgement may take before the packet counts as lost, in seconds."""
        if self.rtt is None:
            return FIRST_TIMEOUT_S
        return min(max(self.rtt + 4 * self.rtt_variation, TIMEOUT_MIN_S), TIMEOUT_MAX_S)

    def _aim_by_round_trip(self, delivered: int, elapsed: float) -> int:
        share = self.rtt_min / elapsed if elapsed > 0 else 1.0
        return int(self._gain * delivered * share)

    def _aim_by_train(self, acknowledged: int, now: float) -> int:
        span = now - self._train_at
        if self._lossy or self.train_offset < 0 or span <= 0:
            return 0
        rate = (acknowledged - self.train_offset) / span
        return int(min(TRAIN_GAIN * rate * self.rtt_min, TRAIN_GROWTH_MAX * self.window))

    def _measure(self, elapsed: float) -> None:
        if self.rtt is None:
            self.rtt = self.rtt_min = elapsed
            self.rtt_variation = elapsed / 2
            return
        self.rtt_min = min(self.rtt_min, elapsed)
        self.rtt_variation += (abs(elapsed - self.rtt) - self.rtt_variation) / 4
        self.rtt += (elapsed - self.rtt) / 8

    def _resize(self, window: int) -> None:
        self.window = min(window, self._window_max)
        if self._autotune:
            self.packet = min(max(self._packet_min, self.window // 4), self._packet_max)
