"""What short commands and the blocking client import of channels costs them nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "asyncio",
    "dataclasses",
    "inspect",
    "logging",
    "msgspec",
    "pathlib",
    "re",
    "structlog",
    "subprocess",
    "tempfile",
}


@pytest.mark.parametrize("module", ["packing", "unpacking"])
def test_only_what_is_light(module: str) -> None:
    script = (
        f"import sys; before = set(sys.modules); import json; import holdfast.channels.{module}; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": ":".join(path for path in sys.path if path)})  # fmt: skip
    heavy = HEAVY & set(done.stdout.split())
    assert heavy <= {"re"}, heavy  # the standard library's json brings re
