"""What the tests of the contract share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, Protocol, TypeVar

from ..base import Engine, Hole, Log, Packed, Piece, Run

Self = TypeVar("Self")
Cell = tuple[int | bytes | None, int]
"""One position of a log: a byte, an entry or (in a hole) None, and its tag; or a blob, and the place in it."""


class EngineFactory(Protocol):
    """Gives an engine, not started, on storage that belongs to the running test.

    Called again after the first engine was stopped it gives one on the same storage.  An engine that has no
    ``max_bytes`` raises NotImplementedError when asked for it; the tests of full disks are skipped then.
    """

    def __call__(self, *, max_bytes: int | None = None) -> Engine:
        """An engine; ``max_bytes`` bounds what it keeps."""
        ...


def scenario(
    test: Callable[[Self, Engine], Awaitable[None]],
) -> Callable[[Self, EngineFactory], None]:
    """Run an ``async`` test on a started engine, and stop it afterwards."""

    @wraps(test)
    def run(self: Self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            try:
                await test(self, engine)
            finally:
                await engine.stop()

        asyncio.run(main())

    del run.__wrapped__  # pytest takes the arguments from the signature
    return run


def cells(pieces: Sequence[Piece], position: int) -> list[Cell]:
    """``pieces``, which must adjoin and begin at ``position``, one position at a time; a first blob may begin below."""
    out: list[Cell] = []
    for piece in pieces:
        if isinstance(piece, Packed) and not out:
            assert piece.position <= position < piece.end
            out += [(piece.data, place) for place in range(position - piece.position, piece.count)]
            position = piece.end
            continue
        assert piece.position == position, f"a gap or a repeat: {piece.position} follows {position}"
        assert piece.end > piece.position
        if isinstance(piece, Hole):
            out += [(None, 0)] * piece.length
        elif isinstance(piece, Run):
            out += [(byte, piece.tag) for byte in piece.data]
        elif isinstance(piece, Packed):
            out += [(piece.data, place) for place in range(piece.count)]
        else:
            out.append((piece.data, piece.tag))
        position = piece.end
    return out


def payload(pieces: Sequence[Piece]) -> bytes:
    """The payload of ``pieces``, joined."""
    return b"".join(piece.data for piece in pieces if not isinstance(piece, Hole))


async def read_all(log: Log, name: str, position: int, *, max_bytes: int = 1 << 20) -> list[Piece]:
    """All from ``position`` to the tail, in as many reads as it takes; checks that they adjoin."""
    out: list[Piece] = []
    while pieces := await log.read(name, position, max_bytes=max_bytes):
        assert pieces[0].position == position or (isinstance(pieces[0], Packed) and not out)
        out += pieces
        position = pieces[-1].end
    return out


async def collect(follower: AsyncIterator[list[Piece]], until: int | None = None) -> list[Piece]:
    """What ``follower`` gives until its end, or up to the position ``until``."""
    out: list[Piece] = []
    async for pieces in follower:
        assert pieces, "a step must give something"
        assert not out or pieces[0].position == out[-1].end, "a gap or a repeat"
        out += pieces
        if until is not None and out[-1].end >= until:
            break
    return out


async def step(follower: AsyncIterator[Any]) -> Any:
    """One step, as a coroutine, for create_task."""
    return await follower.__anext__()
