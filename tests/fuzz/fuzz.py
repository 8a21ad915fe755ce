"""Fuzz one target with atheris, for as long as you like.

Run ``python tests/fuzz/fuzz.py connection tests/fuzz/corpus/connection``.

The first argument chooses the target (one of ``TARGETS`` in targets/), the rest are libFuzzer's.
"""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    """Hand over to libFuzzer; only our own code is instrumented, which keeps the start short."""
    with atheris.instrument_imports(include=["holdfast", "targets"]):
        targets = importlib.import_module("targets")
    target = targets.TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
