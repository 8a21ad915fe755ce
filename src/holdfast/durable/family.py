"""Who was forked from whom, so that a deleted stream keeps its path taken while it has forks.  Pure."""

from __future__ import annotations


class Family:
    """Sources and forks by path; a *ghost* is a deleted stream that still has forks."""

    def __init__(self) -> None:
        self._forks: dict[str, set[str]] = {}
        self._sources: dict[str, str] = {}
        self._ghosts: set[str] = set()

    def add(self, path: str, source: str | None) -> None:
        """There is a stream (or ghost) at ``path``, forked from ``source``."""
        if source is not None:
            self._sources[path] = source
            self._forks.setdefault(source, set()).add(path)

    def has_forks(self, path: str) -> bool:
        """Whether anything was forked from it that is still there."""
        return path in self._forks

    def is_ghost(self, path: str) -> bool:
        """Whether its stream was deleted under its forks."""
        return path in self._ghosts

    def source_of(self, path: str) -> str | None:
        """What it was forked from."""
        return self._sources.get(path)

    def haunt(self, path: str) -> None:
        """The stream is deleted, its forks are not."""
        self._ghosts.add(path)

    def exorcise(self, path: str) -> None:
        """The deletion failed; the stream is there after all."""
        self._ghosts.discard(path)

    def remove(self, path: str) -> list[str]:
        """The stream is gone and has no forks; gives the ghosts that go with it, its nearest ancestor first."""
        assert path not in self._forks
        gone = []
        self._ghosts.discard(path)
        source = self._drop(path)
        while source is not None and source not in self._forks and source in self._ghosts:
            self._ghosts.discard(source)
            gone.append(source)
            source = self._drop(source)
        return gone

    def _drop(self, path: str) -> str | None:
        source = self._sources.pop(path, None)
        if source is not None:
            siblings = self._forks[source]
            siblings.discard(path)
            if not siblings:
                del self._forks[source]
        return source
