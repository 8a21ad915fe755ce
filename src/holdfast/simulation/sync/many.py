"""Many worlds at once, a process for each core: each is told a world on its input, and answers with its report.

A process whose input ends, ends: whatever becomes of the one that started them, none is left behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from selectors import EVENT_READ, DefaultSelector
from types import TracebackType
from typing import IO, Self

from ...errors import HoldfastError
from .options import SyncOptions, replay_command
from .report import SyncReport
from .run import run_sync

_END_S = 10.0
"""A process that was told to end has ended by then; it is in the middle of a world."""


class Worlds:
    """Processes that run worlds, started when they are first needed.  Leave its context to end them all.

    ``workers``: how many; 0: one for each core we may use.  ``nice``: how much they give way to others, up to 19.
    """

    def __init__(self, workers: int = 0, *, nice: int = 0) -> None:
        self.workers = workers or _cores()
        self._nice = nice
        self._processes: list[_Process] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End all processes, at once.  Idempotent; :meth:`run` starts new ones."""
        self._processes.clear()
        self._stack.close()

    def run(self, worlds: Iterable[SyncOptions]) -> Generator[SyncReport, None, None]:
        """The report of each world, as they end; the first ones begin with the call.

        Taking one blocks; HoldfastError if a process dies, naming its world.
        """
        todo = iter(worlds)
        busy = DefaultSelector()
        for number, options in enumerate(islice(todo, self.workers)):
            process = self._process(number)
            process.begin(options)
            busy.register(process.answers, EVENT_READ, process)
        return self._reports(todo, busy)

    def _reports(self, todo: Iterator[SyncOptions], busy: DefaultSelector) -> Generator[SyncReport, None, None]:
        try:
            while busy.get_map():
                for key, _ in busy.select():
                    process = key.data
                    yield process.report()
                    following = next(todo, None)
                    if following is None:
                        busy.unregister(process.answers)
                    else:
                        process.begin(following)
        except BaseException:
            self.end()  # some are in the middle of a world that nobody waits for
            raise
        finally:
            busy.close()

    def _process(self, number: int) -> _Process:
        if number == len(self._processes):
            self._processes.append(_Process(self._nice))
            self._stack.callback(self._processes[-1].end)
        return self._processes[number]


class _Process:
    """One of them."""

    def __init__(self, nice: int) -> None:
        # In a group of its own: an interrupt from the terminal is for whoever started it, who then ends it.
        self._popen = subprocess.Popen(
            [sys.executable, "-m", __name__, str(nice)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._requests: IO[bytes] = self._popen.stdin
        self.answers: IO[bytes] = self._popen.stdout
        self._world = SyncOptions()

    def begin(self, options: SyncOptions) -> None:
        """Run that world."""
        self._world = options
        with suppress(BrokenPipeError):  # it died; whoever waits for its report will see
            self._requests.write(json.dumps(options).encode() + b"\n")

    def report(self) -> SyncReport:
        """How it went."""
        line = self.answers.readline()
        if not line:
            raise HoldfastError(f"a process ended with {self._popen.wait()}; replay: {replay_command(self._world)}")
        return SyncReport(*json.loads(line))

    def end(self) -> None:
        """End, at once."""
        self._popen.kill()
        self._popen.wait(_END_S)
        self._requests.close()
        self.answers.close()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve(requests: Iterable[bytes], answers: IO[bytes]) -> None:
    """Run the world of each line, and answer each with a line."""
    for line in requests:
        report = run_sync(_options(line))
        answers.write(json.dumps(report).encode() + b"\n")
        answers.flush()


def _options(line: bytes) -> SyncOptions:
    options = SyncOptions(*json.loads(line))
    return options._replace(profiles=tuple(options.profiles))


if __name__ == "__main__":
    os.nice(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer)
