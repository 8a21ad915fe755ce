"""How much the deployment's streams hold, and whether more fits."""

from __future__ import annotations


class Room:
    """Bytes by stream, as the servers count them, under one bound."""

    def __init__(self, max_bytes: int | None) -> None:
        """None: whatever the servers take."""
        self.max_bytes = max_bytes
        self._sizes: dict[str, int] = {}

    @property
    def used(self) -> int:
        """All there is."""
        return sum(self._sizes.values())

    def measure(self, stream: str, size: int) -> None:
        """The stream has this size."""
        self._sizes[stream] = size

    def take(self, stream: str, size: int) -> None:
        """It grows by ``size``, which may be negative."""
        self._sizes[stream] = self._sizes.get(stream, 0) + size

    def fits(self, size: int) -> bool:
        """Whether ``size`` bytes more are within the bound."""
        return self.max_bytes is None or self.used + size <= self.max_bytes
