"""Resolve requirements/dev.in and the package's own dependencies anew, and pin all of it in requirements/dev.txt."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# Made by `make requirements` from dev.in and pyproject.toml, with Python 3.11 on Linux.\n"


def resolve() -> str:
    """``pip freeze`` of a fresh environment that holds exactly what is asked for; names and versions only."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        pip = [f"{directory}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-q", "-r", str(ROOT / "requirements" / "dev.in"), *wanted], check=True)
        freeze = [*pip, "freeze", "--exclude", "pip", "--exclude", "setuptools"]
        return subprocess.run(freeze, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Write the file."""
    (ROOT / "requirements" / "dev.txt").write_text(HEAD + resolve(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
