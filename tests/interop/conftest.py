"""Other people's programs against a real node: where npm keeps what they need, and nodes with an HTTP door."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.testing import NodeBox

HERE = Path(__file__).parent
INSTALL_S = 300


class HttpNode(NamedTuple):
    """A node with an HTTP door, and a token that may read and write streams."""

    box: NodeBox
    url: str
    token: str


@pytest.fixture(scope="session")
def npm_project() -> Path:
    """The npm project with clients of durable streams, installed."""
    return _installed(HERE / "durable_streams")


@pytest.fixture(scope="session")
def sds_project() -> Path:
    """The npm project with another implementation of groups, installed."""
    return _installed(HERE / "sds")


def _installed(project: Path) -> Path:
    """``project`` with what its lock file names installed."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not on this machine; on Debian: apt-get install nodejs npm")
    lock = hashlib.sha256((project / "package-lock.json").read_bytes()).hexdigest()
    stamp = project / "node_modules" / ".installed"
    if not stamp.exists() or stamp.read_text() != lock:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=project, check=True, timeout=INSTALL_S)
        stamp.write_text(lock)
    return project


@pytest.fixture
def start_http() -> Iterator[Callable[..., HttpNode]]:
    """Starts a node with an HTTP door on a free port; ends with the test."""
    with NodeBox.temporary() as box:

        def start(*options: str, **limits: str) -> HttpNode:
            box.env |= {f"HOLDFAST_LIMIT_{name.upper()}": value for name, value in limits.items()}
            box.start_node("--http", "127.0.0.1:0", *options)
            scopes = ("--scope", "streams:read", "--scope", "streams:write")
            token = box.run("token", "mint", "--sub", "interop", *scopes).stdout.decode().strip()
            return HttpNode(box, box.listening("http"), token)

        yield start
