"""Each example runs as its reader would run it, as real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.testing import PATIENCE_S, NodeBox

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LAST_WORDS = {
    "token_stream.py": "both viewers saw all 126 tokens, each once, in order",
    "chat_with_cancel_and_steer.py": "every control message has its receipts",
    "progress_bar.py": "120 of 120 done",
    "group_over_a_bad_network.py": "three logs of 90 messages, all in the same order",
}
"""What the last line of each says if all went well."""


@pytest.mark.parametrize("name", LAST_WORDS)
def test_it_does_what_it_says(node_box: NodeBox, name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], env=node_box.env, capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1].endswith(LAST_WORDS[name])
    assert done.stderr == b""


def test_every_example_is_run_somewhere() -> None:
    elsewhere = {"demo.py", "tokens_in_a_browser.py"}  # make demo, tools/clean_clone.sh; test_browser_example.py
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(LAST_WORDS) | elsewhere
