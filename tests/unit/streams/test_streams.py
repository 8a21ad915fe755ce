"""The package as a library: what it exports, its example, and what it does not drag in."""

from __future__ import annotations

import doctest
import subprocess
import sys

import holdfast.streams


def test_the_example_in_the_docstring_runs() -> None:
    result = doctest.testmod(holdfast.streams)
    assert result.attempted > 5
    assert result.failed == 0


def test_the_exported_names() -> None:
    assert set(holdfast.streams.__all__) == {
        "BYTES", "EOF", "ERROR", "GAP", "Ack", "Broker", "BrokerEvents", "Buffer", "Chunk", "Data", "End", "Failed",
        "Finished", "Gap", "GapSent", "Item", "OutputSender", "Payload", "Reader", "ReaderCancelled", "RingBuffer",
        "SenderEvent", "Writer",
    }  # fmt: skip
    for name in holdfast.streams.__all__:
        assert hasattr(holdfast.streams, name)


def test_importing_it_does_not_import_what_a_keeper_must_not_pay_for() -> None:
    heavy = "asyncio dataclasses inspect logging msgspec pathlib random socket subprocess tempfile"
    script = f"import sys, holdfast.streams; print(*(set({heavy.split()!r}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
