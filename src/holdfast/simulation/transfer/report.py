"""What a simulated transfer came to: the numbers, and how to show them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...quantities import format_size


class Report(NamedTuple):
    """The outcome of one transfer.  MB are 10^6 bytes; times are in the world's seconds."""

    ok: bool
    mismatches: int
    first_mismatch: int | None
    received: int
    duration_s: float
    throughput_mb_s: float | None
    """None when no time passed at all, as in virtual time without any delay."""
    data_packets: int
    ack_packets: int
    out_of_order: int
    retransmits: int
    pipe_high_water: int
    limit_share: float | None
    """Throughput as a share of ``limit_mb_s``; None if nothing limits it."""
    limit: str | None
    """What binds: ``window/rtt``, ``bandwidth`` or ``slow-reader``."""
    limit_mb_s: float | None
    gap_bytes: int
    disconnects: int
    stalls: int
    mode: str
    clock: str
    seed: int
    error: str

    def as_json(self) -> dict[str, Any]:
        """The fields by name, in a fixed order, fractions rounded so that no platform's last digit shows."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in zip(self._fields, self, strict=True)
        }

    def summary(self) -> str:
        """The report in lines for people."""
        lines = [
            ("result", "every byte arrived, in order" if self.ok else f"FAILED: {self._trouble()}"),
            ("received", f"{self.received:,} bytes ({format_size(self.received)})"),
            ("duration", f"{self.duration_s:.3f} s ({self.clock} clock)"),
            ("throughput", "no time passed" if self.throughput_mb_s is None else f"{self.throughput_mb_s:,.2f} MB/s"),
            ("limit", self._limit()),
            ("packets", f"{self.data_packets:,} data, {self.ack_packets:,} acknowledgements"),
            ("out of order", f"{self.out_of_order:,}"),
            ("retransmits", f"{self.retransmits:,}"),
            ("pipe high water", format_size(self.pipe_high_water)),
        ]
        if self.disconnects or self.stalls:
            lines.append(("disconnects", f"{self.disconnects:,}, {self.stalls:,} of them noticed as a stall"))
        if self.gap_bytes:
            lines.append(("gaps", f"{self.gap_bytes:,} bytes"))
        lines.append(("seed", str(self.seed)))
        return "\n".join(f"{name:<16} {value}" for name, value in lines)

    def _trouble(self) -> str:
        if self.first_mismatch is not None:
            return f"{self.mismatches} mismatches, the first at offset {self.first_mismatch}"
        return self.error or "bytes are missing"

    def _limit(self) -> str:
        if self.limit is None or self.limit_mb_s is None:
            return "none"
        share = "" if self.limit_share is None else f", {self.limit_share:.3f} of it reached"
        return f"{self.limit_mb_s:,.2f} MB/s by {self.limit}{share}"
