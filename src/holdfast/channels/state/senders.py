"""What is known of each sender of a channel: its last sequence, and which entry each of its sequences is.

And which entries are control messages, for who says what became of one.  Memory is bounded by the entries kept, and
small in practice: sequences that follow each other at indexes that follow each other are one row of three integers.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

from ..model import NODE_SENDER
from ..packing import END, ERROR, FIRST_CONTROL, RECEIPTED
from ..unpacking import heads_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..unpacking import Run


class SenderBook:
    """One sender's entries in one channel."""

    __slots__ = ("_counts", "_indexes", "_sequences", "ended", "last_index", "last_sequence")

    def __init__(self) -> None:
        self.last_sequence = 0
        self.last_index = 0
        self.ended = 0
        """The type of its newest entry that is no control message, if that is an end or an error; else 0."""
        self._sequences = array("Q")
        self._indexes = array("Q")
        self._counts = array("Q")

    @property
    def rows(self) -> int:
        """How many rows its entries take here."""
        return len(self._sequences)

    def index_of(self, sequence: int) -> int:
        """The index of the entry with ``sequence``; 0 if there is none, or it is not kept any more."""
        row = bisect_right(self._sequences, sequence) - 1
        if row < 0:
            return 0
        behind = sequence - self._sequences[row]
        return self._indexes[row] + behind if behind < self._counts[row] else 0

    def add(self, sequence: int, index: int, count: int = 1) -> None:
        """``count`` entries with sequences from ``sequence`` and indexes from ``index`` on."""
        sequences, indexes, counts = self._sequences, self._indexes, self._counts
        row = bisect_right(sequences, sequence)
        before = row - 1
        if (
            row
            and sequences[before] + counts[before] == sequence
            and indexes[before] + counts[before] == index
        ):  # fmt: skip
            counts[before] += count
        else:
            sequences.insert(row, sequence)
            indexes.insert(row, index)
            counts.insert(row, count)
        self.last_sequence = max(self.last_sequence, sequence + count - 1)
        self.last_index = max(self.last_index, index + count - 1)

    def add_all(self, sequences: Sequence[int], index: int, *, contiguous: bool) -> None:
        """Entries with indexes from ``index`` on; ``contiguous`` says that their sequences have no gap."""
        if contiguous:
            self.add(sequences[0], index, len(sequences))
            return
        for sequence in sequences:
            self.add(sequence, index)
            index += 1

    def note_types(self, types: Sequence[int]) -> None:
        """Its newest entries are of these types: whether its stream is complete now."""
        for type_ in reversed(types):
            if type_ < FIRST_CONTROL:
                self.ended = type_ if type_ in (END, ERROR) else 0
                return

    def forget_below(self, index: int) -> None:
        """Entries below ``index`` are not kept any more."""
        rows = zip(self._sequences, self._indexes, self._counts, strict=True)
        kept = [(row, max(0, index - row[1])) for row in rows if row[1] + row[2] > index]
        self._sequences = array("Q", [row[0] + gone for row, gone in kept])
        self._indexes = array("Q", [row[1] + gone for row, gone in kept])
        self._counts = array("Q", [row[2] - gone for row, gone in kept])


class Controls:
    """Which entries of one channel are control messages; such as follow each other are one row."""

    __slots__ = ("_counts", "_firsts")

    def __init__(self) -> None:
        self._firsts = array("Q")
        self._counts = array("Q")

    def __contains__(self, index: int) -> bool:
        row = bisect_right(self._firsts, index) - 1
        return row >= 0 and index < self._firsts[row] + self._counts[row]

    def __len__(self) -> int:
        return sum(self._counts)

    def add(self, index: int) -> None:
        """The entry at ``index`` is one; they come in order."""
        if self._firsts and self._firsts[-1] + self._counts[-1] == index:
            self._counts[-1] += 1
        else:
            self._firsts.append(index)
            self._counts.append(1)

    def forget_below(self, index: int) -> None:
        """Entries below ``index`` are not kept any more."""
        row = bisect_right(self._firsts, index) - 1
        if row >= 0:
            gone = min(index - self._firsts[row], self._counts[row])
            self._firsts[row] += gone
            self._counts[row] -= gone
            row += not self._counts[row]
            del self._firsts[:row], self._counts[:row]


class Senders:
    """All senders of one channel."""

    __slots__ = ("_books", "controls")

    def __init__(self) -> None:
        self.controls = Controls()
        self._books: dict[str, SenderBook] = {}

    def __iter__(self) -> Iterator[tuple[str, SenderBook]]:
        return iter(sorted(self._books.items()))

    def book(self, sender: str) -> SenderBook:
        """The sender's book; a new one if it has never appended."""
        book = self._books.get(sender)
        if book is None:
            book = self._books[sender] = SenderBook()
        return book

    def last_sequence(self, sender: str) -> int:
        """The sender's highest sequence; 0 if it has never appended."""
        book = self._books.get(sender)
        return 0 if book is None else book.last_sequence

    def replay(self, run: Run) -> None:
        """Take note of a run that is in the log; they come in the log's order."""
        book = self.book(run.sender)
        heads = heads_of(run)
        book.add_all(heads.sequences, run.first_index, contiguous=run.contiguous)
        if run.sender != NODE_SENDER:
            book.note_types(heads.types)
        if max(heads.types) >= FIRST_CONTROL:
            for index, type_ in enumerate(heads.types, run.first_index):
                if type_ in RECEIPTED:
                    self.controls.add(index)

    def forget_below(self, index: int) -> None:
        """Entries below ``index`` are not kept any more."""
        self.controls.forget_below(index)
        for book in self._books.values():
            book.forget_below(index)
