"""Completion in real shells: the script is loaded, lines are completed, and the node's own names are offered."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from holdfast.testing import NodeBox

LOAD = {
    "bash": 'eval "$(holdfast completion bash)"',
    "zsh": """
compdef() { : }
compadd() { print -l -- $completions }
_describe() { print -l -- ${completions_with_descriptions//:*/} }
eval "$(holdfast completion zsh)"
""",
    "fish": "holdfast completion fish | source",
}
"""zsh's own functions work in its line editor only: ours are given others, that print."""
COMPLETE = {
    "bash": "COMPREPLY=(); COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _holdfast_completion holdfast; "
    "printf '%%s\\n' \"${COMPREPLY[@]}\"",
    "zsh": "words=(%s) CURRENT=${#words}; _holdfast_completion",
    "fish": "complete -C '%s'",
}
RUN = {"bash": ["bash", "-c"], "zsh": ["zsh", "-fc"], "fish": ["fish", "--no-config", "-c"]}


def complete(box: NodeBox, shell: str, lines: list[str]) -> list[list[str]]:
    """What ``shell`` offers for each line, sorted."""
    (box.directory / "bin").mkdir()
    program = box.directory / "bin" / "holdfast"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m holdfast "$@"\n')
    program.chmod(0o755)
    env = {**box.env, "PATH": f"{program.parent}:{box.env.get('PATH', '/usr/bin:/bin')}", "HOME": str(box.directory)}
    script = "\n".join([LOAD[shell], *(f"{COMPLETE[shell] % line}\necho =" for line in lines)])
    done = subprocess.run([*RUN[shell], script], env=env, capture_output=True, check=True)
    offered = done.stdout.decode().split("=\n")[: len(lines)]
    return [sorted(value.partition("\t")[0] for value in text.splitlines()) for text in offered]


@pytest.mark.parametrize("shell", RUN)
def test_a_shell_completes_commands_options_and_the_nodes_names(node_box: NodeBox, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    box = node_box
    job = box.run("run", "-d", "--name", "agent", "--channel", "chat", "--", "sleep", "60").stdout.decode().strip()
    box.run("channel", "create", "other/log")
    mint = ("token", "mint", "--sub", "ann", "--scope", "channels:read", "-o", "json")
    token = json.loads(box.run(*mint, "--channel", "agent/chat").stdout)
    assert token["channel"] == f"{job}/chat"  # a job's name in front of a channel's is the job
    wanted = {
        "holdfast cha": ["channel"],
        "holdfast channel re": ["read", "refused", "resume"],
        "holdfast channel read --by": ["--by-sender"],
        "holdfast channel read age": ["agent/chat"],
        "holdfast channel ls oth": ["other"],
        "holdfast token mint --channel oth": ["other/log"],
        "holdfast token mint --scope jobs,recor": ["jobs,records:read", "jobs,records:write"],
        f"holdfast token revoke {token['id'][:4]}": [token["id"]],
    }
    assert dict(zip(wanted, complete(box, shell, list(wanted)), strict=True)) == wanted
