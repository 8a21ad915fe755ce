"""The node's log on a disk that fills up."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIG_IGN, SIGXFSZ, signal

import pytest

from holdfast.node.serve import PatientLog


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Files of this process may have as many bytes as it is called with."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal(SIGXFSZ, SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal(SIGXFSZ, handler)


def test_a_full_disk_costs_lines_and_says_how_many(tmp_path: Path, limit: Callable[[int], None]) -> None:
    path = tmp_path / "node.log"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    log = PatientLog(fd)
    log.write("one")
    log.write("\n")
    limit(6)
    for line in ("two\n", "three\n"):  # the first is torn, the second does not even begin
        log.write(line)
    limit(1_000)
    log.write("four\n")
    log.write("five\n")
    os.close(fd)
    log.write("after the end\n")
    assert path.read_text() == 'one\ntw\n{"event": "log.left_out", "lines": 2}\nfour\nfive\n'
