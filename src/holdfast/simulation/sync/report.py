"""What a simulated group came to: the numbers, and how to show them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...quantities import format_size


class SyncReport(NamedTuple):
    """The outcome of one world.  Times are virtual seconds."""

    ok: bool
    peers: int
    messages: int
    deliveries: int
    """Messages given to peers that did not send them, once each."""
    convergence_s: float
    """From the last message sent, or the end of the partition, until everybody had everything."""
    latency_median_s: float
    """From a message being sent until a peer was given it."""
    latency_worst_s: float
    packets: int
    """Packets broadcast, each counted once."""
    packets_content: int
    packets_resent: int
    packets_repair: int
    packets_sync: int
    packets_per_message: float
    bytes_broadcast: int
    bytes_per_message: float
    """Bytes broadcast for each message that everybody has in the end."""
    bytes_per_delivery: float
    copies_lost: int
    copies_duplicated: int
    duplicates: int
    """Packets that arrived and held nothing new."""
    acknowledged: int
    crashes: int
    writes: int
    writes_failed: int
    history_largest: int
    waiting_largest: int
    """Most messages that waited for others at one peer."""
    held_largest: int
    """Most bytes of memory that one peer was seen to hold; alone of all numbers it depends on the Python that runs."""
    seed: int
    error: str
    replay: str

    def as_json(self) -> dict[str, Any]:
        """The fields by name, fractions rounded so that no platform's last digit shows."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in zip(self._fields, self, strict=True)
        }

    def summary(self) -> str:
        """The report in lines for people."""
        kinds = (
            f"{self.packets_content:,} messages, {self.packets_resent:,} resent, {self.packets_repair:,} repairs, "
            f"{self.packets_sync:,} sync"
        )
        held = f"{format_size(self.held_largest)} in all"
        lines = [
            ("result", "all peers have all messages, in causal order" if self.ok else f"FAILED: {self.error}"),
            ("converged", f"{self.convergence_s:.3f} s after the last message, or the end of the partition"),
            ("latency", f"{self.latency_median_s:.3f} s in the middle, {self.latency_worst_s:.3f} s at worst"),
            ("messages", f"{self.messages:,} sent, {self.deliveries:,} deliveries at {self.peers} peers"),
            ("packets", f"{self.packets:,} broadcast: {kinds}"),
            ("per message", f"{self.packets_per_message:.2f} packets, {format_size(self.bytes_per_message)}"),
            ("per delivery", format_size(self.bytes_per_delivery)),
            ("copies", f"{self.copies_lost:,} lost on the way, {self.copies_duplicated:,} doubled"),
            ("duplicates", f"{self.duplicates:,} packets arrived and held nothing new"),
            ("acknowledged", f"{self.acknowledged:,} of {self.messages:,}"),
            (
                "most held",
                f"{self.history_largest:,} in a history, {self.waiting_largest:,} waiting for others, {held}",
            ),
        ]
        if self.crashes:
            lines.append(("crashes", f"{self.crashes:,}; {self.writes:,} writes, {self.writes_failed:,} failed"))
        lines.append(("seed", str(self.seed)))
        if not self.ok:
            lines.append(("replay", self.replay))
        return "\n".join(f"{name:<13} {value}" for name, value in lines)
