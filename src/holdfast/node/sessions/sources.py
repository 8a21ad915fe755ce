"""Patterns that sessions follow in the node's own jobs, channels and bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sessions.providers.base import OpenStream
from ...subjects import PatternTrie

if TYPE_CHECKING:
    from ...sessions.providers.base import Sink, Stream


class OpenPatterns:
    """The open streams of one provider, found by subject: what nobody follows costs one look."""

    def __init__(self) -> None:
        self._trie: PatternTrie[Sink] = PatternTrie()

    def __bool__(self) -> bool:
        return len(self._trie) > 0

    def open(self, pattern: str, sink: Sink) -> Stream:
        """Have ``sink`` found for what ``pattern`` matches, until the stream is closed."""
        self._trie.add(pattern, sink)

        async def close() -> None:
            self._trie.remove(pattern, sink)

        return OpenStream(close)

    def of(self, subject: str) -> list[Sink]:
        """Who follows ``subject``."""
        return self._trie.match(subject)
