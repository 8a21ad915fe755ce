"""Worlds by their seeds: how a broken promise is told, and the command that runs the seeds it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable


class UnsafeError(AssertionError):
    """A promise was broken in a world; ``replay`` is the command that shows it again."""

    def __init__(self, what: str, replay: str) -> None:
        super().__init__(f"{what}\nreplay: {replay}")


def replay_seed(module: str, seed: int) -> str:
    """The command with which ``module`` runs the world of ``seed`` again."""
    return f"python -m {module} {seed}"


def run_seeds(arguments: Iterable[str], tell: Callable[[int], str], plan: Callable[[int], object] | None = None) -> int:
    """What ``tell`` tells of each seed given, or what broke, and the world's ``plan``; 1 if a promise was broken."""
    broken = 0
    for argument in arguments:
        seed = int(argument)
        try:
            told = tell(seed)
        except UnsafeError as error:
            broken = 1
            told = str(error) if plan is None else f"{error}\n{plan(seed)}"
        sys.stdout.write(f"seed {seed}: {told}\n")
    return broken
