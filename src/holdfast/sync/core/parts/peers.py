"""What is known of the other participants of a channel."""

from __future__ import annotations

from collections import OrderedDict

from ...model import PeerStatus


class Seen:
    """One of them."""

    __slots__ = ("lamport", "last_seen", "sequence")

    def __init__(self) -> None:
        self.lamport = 0
        self.last_seen = 0.0
        self.sequence = 0
        """Of the newest message of ours that it referred to."""


class Peers:
    """As many as there is room for: whoever was not heard for longest is forgotten first."""

    __slots__ = ("_known", "_max")

    def __init__(self, most: int) -> None:
        self._max = most
        self._known: OrderedDict[str, Seen] = OrderedDict()
        """Whoever was heard last comes last."""

    def saw(self, sender_id: str, lamport: int, sequence: int, now: float) -> None:
        """A message from ``sender_id``, which refers to ours up to ``sequence``."""
        seen = self._known.get(sender_id)
        if seen is None:
            if len(self._known) >= self._max:
                self._known.popitem(last=False)
            seen = self._known[sender_id] = Seen()
        else:
            self._known.move_to_end(sender_id)
        seen.last_seen = now
        seen.lamport = max(seen.lamport, lamport)
        seen.sequence = max(seen.sequence, sequence)

    def status(self, own_sequence: int) -> tuple[PeerStatus, ...]:
        """All of them, by id."""
        return tuple(
            [
                PeerStatus(name, seen.lamport, seen.last_seen, own_sequence - seen.sequence)
                for name, seen in sorted(self._known.items())
            ]
        )
