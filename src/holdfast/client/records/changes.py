"""Where a feed of changes stands, and what of it came; shared by both clients."""

from __future__ import annotations

import json

from ...errors import DisconnectedError, ProtocolError
from ...records.model import FeedEntry, FeedPage
from ...rpc.failures import decode_failure
from ...streams import Chunk, Failed, Item

_FIELDS = frozenset(FeedEntry.__dataclass_fields__)


class Changes:
    """Turns pages and pieces of a stream of JSON lines into changes, and counts them."""

    def __init__(self, position: int | None) -> None:
        self.position = position or 0
        """Of the change that comes next; 0: not known yet."""
        self.wants_oldest = position == 0
        """It is to begin with the oldest change that is kept, which is to be asked for."""
        self._rest = b""

    def begin_oldest(self, page: FeedPage) -> None:
        """What the node has, from the oldest on."""
        self.position = page.entries[0].position if page.entries else page.next_position
        self.wants_oldest = False

    def begin(self, start: FeedPage) -> None:
        """A stream was opened; it begins at a change, whatever came of the last one."""
        self._rest = b""
        if not self.position:
            self.position = start.next_position

    def take_page(self, page: FeedPage) -> list[FeedEntry]:
        """The changes of a page."""
        self.position = page.next_position
        self.wants_oldest = False
        return page.entries

    def take_item(self, item: Item) -> list[FeedEntry]:
        """The changes that a piece of the stream completes.  Raises what ended it."""
        match item:
            case Chunk(_, data):
                *lines, self._rest = (self._rest + data).split(b"\n")
                entries = [_entry(line) for line in lines if line]
                if entries:
                    self.position = entries[-1].position + 1
                return entries
            case Failed(_, text):
                raise decode_failure(text)
            case _:
                raise DisconnectedError("the node ended the feed")


def _entry(line: bytes) -> FeedEntry:
    try:
        found = json.loads(line)
        return FeedEntry(**{name: value for name, value in found.items() if name in _FIELDS})
    except (ValueError, TypeError, AttributeError) as error:
        raise ProtocolError(f"a change cannot be read: {error}", reason="feed") from None
