"""A bounded run of each fuzz target, from its corpus; skipped where atheris cannot be had."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNS = 3000
TARGETS = [
    "frames",
    "handshake",
    "connection",
    "token",
    "batches",
    "runs",
    "datagrams",
    "groups",
    "snapshots",
    "records",
]


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
def test_the_corpus_finds_nothing(target: str) -> None:
    spec = importlib.util.spec_from_file_location("targets", HERE / "targets.py")
    assert spec is not None and spec.loader is not None
    harness = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(harness)
    seeds = sorted((HERE / "corpus" / target).iterdir())
    assert len(seeds) > 3
    for seed in seeds:
        harness.TARGETS[target](seed.read_bytes())
