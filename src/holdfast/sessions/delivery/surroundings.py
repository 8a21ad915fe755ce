"""What a session's way out needs of the node it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from ...errors import HoldfastError
    from ...limits import Limits


class Surroundings(Protocol):
    """The node, as an outlet and what it is made of see it."""

    limits: Limits

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` as a task that somebody awaits."""
        ...

    def cut(self, session_id: str, attachment: int) -> None:
        """The client of this attachment is gone."""
        ...

    def let_go(self, session_id: str, attachment: int, error: HoldfastError) -> None:
        """The client of this attachment is to be let go: its own policy says so, or there is no reading on."""
        ...

    def forget_cursors(self, session_id: str, subjects: Sequence[str]) -> None:
        """These sources are gone."""
        ...
