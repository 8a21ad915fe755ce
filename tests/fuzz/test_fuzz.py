"""A bounded run of each fuzz target, from its corpus; skipped where atheris cannot be had."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNS = 3000
TARGETS = sorted(folder.name for folder in (HERE / "corpus").iterdir())


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[bytes], None]]:
    """The targets themselves; ``fuzz.py`` finds them beside it, too."""
    monkeypatch.syspath_prepend(HERE)
    found: dict[str, Callable[[bytes], None]] = importlib.import_module("targets").TARGETS
    return found


def test_each_target_has_a_corpus(checks: dict[str, Callable[[bytes], None]]) -> None:
    assert sorted(checks) == TARGETS


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
@pytest.mark.parametrize("target", TARGETS)
def test_a_bounded_run_finds_nothing(target: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(HERE / "corpus" / target, corpus)
    command = [sys.executable, str(HERE / "fuzz.py"), target, f"-runs={RUNS}", "-seed=1", str(corpus)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done" in done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_finds_nothing(target: str, checks: dict[str, Callable[[bytes], None]]) -> None:
    seeds = sorted((HERE / "corpus" / target).iterdir())
    assert len(seeds) > 3
    for seed in seeds:
        checks[target](seed.read_bytes())
