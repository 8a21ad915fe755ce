"""What has happened since the node started, counted."""

from __future__ import annotations


class Counts:
    """Plain counters; whoever does something adds to them."""

    __slots__ = (
        "entries_appended",
        "entries_refused",
        "entries_repeated",
        "rate_limited",
        "subscribers_too_slow",
    )

    def __init__(self) -> None:
        self.entries_appended = 0
        self.entries_refused = 0
        self.entries_repeated = 0
        self.rate_limited = 0
        self.subscribers_too_slow = 0
