"""The node's log on a disk that fills up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STORY = """
import os, resource, signal, sys
from holdfast.node.serve import PatientLog

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
log = PatientLog(fd)
log.write("one")
log.write("\\n")
limit(6)
for line in ("two\\n", "three\\n"):  # the first is torn, the second does not even begin
    log.write(line)
limit(1_000)
log.write("four\\n")
log.write("five\\n")
os.close(fd)
log.write("after the end\\n")
"""


def test_a_full_disk_costs_lines_and_says_how_many(tmp_path: Path) -> None:
    """In a process of its own: no file of that may grow meanwhile, and where our own output goes may be one."""
    path = tmp_path / "node.log"
    subprocess.run([sys.executable, "-c", STORY, path], check=True)
    assert path.read_text() == 'one\ntw\n{"event": "log.left_out", "lines": 2}\nfour\nfive\n'
