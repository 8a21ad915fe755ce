"""Power cuts at many moments of a story, for engines that keep their state in SQLite.  Needs pytest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ...errors import HoldfastError
from .faulty_disk import FaultyDisk, faulty_disk


def record(run: Callable[[FaultyDisk], Coroutine[Any, Any, None]]) -> FaultyDisk:
    """The memory of a disk on which ``run`` ran; the test is skipped where SQLite's library cannot be reached."""
    try:
        with faulty_disk() as disk:
            asyncio.run(run(disk))
    except OSError as error:
        if isinstance(error, HoldfastError):
            raise
        pytest.skip(str(error))
    return disk


def power_cuts(
    disk: FaultyDisk, directory: Path, random: Random, *, anywhere: int, near: int
) -> Iterator[tuple[Path, list[Any]]]:
    """What cuts leave, each in a directory of its own below ``directory``, and what was known by then.

    ``anywhere`` of them come at any moment, ``near`` at an fsync or right after it, and ``near`` right after something
    became known.
    """
    marks = [place for place, event in enumerate(disk.events) if event.kind == "mark"]
    syncs = [place for place, event in enumerate(disk.events) if event.kind == "sync"]
    moments = [random.randrange(len(disk.events)) for _ in range(anywhere)]
    moments += [place + random.randrange(2) for place in random.sample(syncs, near)]
    moments += [place + 1 for place in random.sample(marks, near)]
    for number, moment in enumerate(moments):
        image = directory / f"image {number}"
        disk.image(moment, str(image), random)
        yield image, disk.marks(moment)
