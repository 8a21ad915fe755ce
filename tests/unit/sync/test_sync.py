"""The package: its example is true, its names are there, and it needs no node."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

import holdfast.sync


def test_the_example_is_true() -> None:
    result = doctest.testmod(holdfast.sync)
    assert result.attempted > 8
    assert result.failed == 0


def test_every_name_is_there() -> None:
    for name in holdfast.sync.__all__:
        assert getattr(holdfast.sync, name) is not None
    assert dir(holdfast.sync) == sorted(holdfast.sync.__all__)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = holdfast.sync.nothing_such


def test_the_protocol_alone_needs_neither_loop_nor_node_nor_clock() -> None:
    code = (
        "import sys; from holdfast.sync import SyncPeer; SyncPeer('a').ensure('c', 0.0);"
        "print(*sorted({'asyncio', 'socket', 'random', 'time', 'msgspec', 'holdfast.node', 'holdfast.rpc',"
        " 'holdfast.engine'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import sys, time; before = set(sys.modules); sys.path[:0] = sys.argv[1:];" + code]
        + [path for path in sys.path if path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
