"""The stream to the node as the core knows it: open or not, how much may be under way, when to open the next one."""

from __future__ import annotations


class Link:
    """One stream after another to the same node."""

    __slots__ = ("_cuts_in_a_row", "_items_max", "allowance", "answers", "is_open", "open_at", "opened_at", "opening")

    def __init__(self, items_max: int, now: float) -> None:
        self.is_open = False
        self.opening = False
        self.open_at = now
        """The next one is not opened before then."""
        self.opened_at = now
        self.answers = 0
        """Those that came on the one that is open."""
        self.allowance = items_max
        """Items that may be under way at once."""
        self._items_max = items_max
        self._cuts_in_a_row = 0

    def may_open(self, now: float) -> bool:
        """Whether there is none, and it is time for one."""
        return not (self.is_open or self.opening) and now >= self.open_at

    def opened(self, now: float) -> None:
        """One is open."""
        self.opening = False
        self.is_open = True
        self.answers = 0
        self.opened_at = now

    def close(self) -> None:
        """There is none."""
        self.is_open = self.opening = False

    def answered(self, count: int) -> None:
        """So many answers came: as many more may be under way."""
        self.answers += count
        self._cuts_in_a_row = 0
        if self.allowance < self._items_max:
            self.allowance = min(self._items_max, self.allowance + count)

    def broke(self) -> int:
        """It broke, or could not be opened: one item at a time now; how often in a row that has been."""
        self._cuts_in_a_row = 1 if self.answers else self._cuts_in_a_row + 1
        self.answers = 0
        self.allowance = 1
        return self._cuts_in_a_row
