"""Which descriptors the loop waits on, and what it calls for each."""

from __future__ import annotations

import selectors
from collections.abc import Callable

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Watch:
    """Callbacks by descriptor and direction, on top of a selector whose keys carry ``callable(mask)``."""

    __slots__ = ("_callbacks", "_selector")

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._callbacks: dict[int, dict[int, Callable[[], None]]] = {}

    def set(self, fd: int, event: int, callback: Callable[[], None] | None) -> None:
        """Call ``callback`` each time ``fd`` is ready for ``event`` (READ or WRITE); None: no longer."""
        callbacks = self._callbacks.get(fd, {})
        before = sum(callbacks)
        if callback is None:
            callbacks.pop(event, None)
        else:
            callbacks[event] = callback
        after = sum(callbacks)
        if before == after:
            return
        if not before:
            self._callbacks[fd] = callbacks
            self._selector.register(fd, after, lambda mask: self._call(fd, mask))
        elif after:
            self._selector.modify(fd, after, self._selector.get_key(fd).data)
        else:
            self.forget(fd)

    def forget(self, fd: int) -> None:
        """Wait for nothing on ``fd`` any more; to be called before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._selector.unregister(fd)

    def _call(self, fd: int, mask: int) -> None:
        for event in (READ, WRITE):
            if mask & event:
                callback = self._callbacks.get(fd, {}).get(event)
                if callback is not None:
                    callback()
