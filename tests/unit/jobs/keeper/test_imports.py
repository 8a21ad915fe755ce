"""What a keeper loads is what it costs, a hundred times over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import holdfast

SHOW = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import holdfast.jobs.keeper.zygote
print("\\n".join(sorted(set(sys.modules) - before)))
"""
STDLIB = """
__future__ array bisect collections contextlib copyreg enum errno fcntl functools gc genericpath heapq
itertools json keyword math operator os posixpath re reprlib resource select selectors signal socket stat struct termios
types typing warnings
"""
"""``re``, ``collections``, ``functools`` and ``contextlib`` come with ``typing`` and ``json``."""
OURS = "_version clock errors jobs limits paths procinfo rpc streams"
FORBIDDEN_OURS = (
    "rpc.aio",
    "rpc.blocking",
    "rpc.commands",
    "rpc.dispatch",
    "rpc.handshake.authenticators",
)


def loaded() -> list[str]:
    package_dir = Path(holdfast.__file__).parent.parent
    command = [sys.executable, "-I", "-S", "-c", SHOW, str(package_dir)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_the_list_of_what_a_keeper_imports_is_pinned() -> None:
    for name in loaded():
        parts = name.split(".")
        if parts[0] == "holdfast":
            if len(parts) == 1:
                continue
            assert parts[1] in OURS.split(), name
            assert not name.removeprefix("holdfast.").startswith(FORBIDDEN_OURS), name
            assert parts[1] != "jobs" or parts[2:3] in ([], ["keeper"]), name
        else:
            assert parts[0] in STDLIB.split() or parts[0].startswith("_"), name


def test_no_openssl_no_threads_no_ctypes() -> None:
    assert not {"_hashlib", "_ssl", "_ctypes", "threading", "_asyncio", "_decimal", "_pickle"} & set(loaded())
