"""The AGNTCY Directory's own client from PyPI against our node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.records.canonical import canonical_json
from holdfast.records.cid import record_cid
from holdfast.testing import PATIENCE_S, NodeBox

CLIENT = Path(__file__).parent / "agntcy" / "client.py"
COUNT = 1_000
VECTORS: list[dict[str, str]] = json.loads((Path(__file__).parent / "agntcy" / "vectors.json").read_text("utf-8"))
"""Inputs, their canonical forms and CIDs, made with Go's encoding/json."""


@pytest.fixture
def box() -> Iterator[NodeBox]:
    with NodeBox.temporary() as made:
        yield made


def converse(box: NodeBox, token: str) -> dict[str, Any]:
    """What the client found at the box's node."""
    address = box.listening("grpc").removeprefix("grpc://")
    inputs = json.dumps([json.loads(vector["input"]) for vector in VECTORS])
    done = subprocess.run(
        [sys.executable, str(CLIENT), address, token, str(COUNT), inputs],
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        env={**box.env, "GRPC_VERBOSITY": "NONE"},
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any]) -> None:
    assert len(set(found["cids"])) == COUNT
    assert found["again"] == found["cids"][:3]
    assert found["pulled_equal"] == [True] * COUNT
    assert found["meta"] == {
        "cid": found["cids"][1],
        "annotations": {"team": "a<b>&c", "n": "1"},
        "schema_version": "0.7.0",
        "created_at": "2026-11-21T00:00:00Z",
    }
    assert found["vectors"] == [vector["cid"] for vector in VECTORS]
    assert found["gone"] == "NOT_FOUND"
    assert found["kept"] == COUNT // 2
    assert {name: status for name, status in found["failures"].items() if name != "without_token"} == {
        "pull_unknown": "NOT_FOUND",
        "lookup_unknown": "NOT_FOUND",
        "pull_no_cid": "INVALID_ARGUMENT",
        "push_big": "RESOURCE_EXHAUSTED",
        "push_empty": "INVALID_ARGUMENT",
    }


def test_the_directorys_client_pushes_pulls_looks_up_and_deletes(box: NodeBox) -> None:
    """As it comes: it shows no token, so the node was told to want none."""
    box.start_node("--grpc", "127.0.0.1:0", "--grpc-open")
    found = converse(box, "")
    check(found)
    assert found["failures"]["without_token"] == "OK"
    records = [json.loads(line) for line in box.run("record", "pull", *found["cids"][500:502]).stdout.splitlines()]
    assert [record_cid(canonical_json(record)) for record in records] == found["cids"][500:502]


def test_a_token_in_the_metadata_is_asked_for(box: NodeBox) -> None:
    box.start_node("--grpc", "127.0.0.1:0")
    minted = box.run("token", "mint", "--sub", "agent", "--scope", "records:read", "--scope", "records:write")
    found = converse(box, minted.stdout.decode().strip())
    check(found)
    assert found["failures"]["without_token"] == "UNAUTHENTICATED"
    reader = box.run("token", "mint", "--sub", "reader", "--scope", "records:read").stdout.decode().strip()
    address = box.listening("grpc").removeprefix("grpc://")
    done = subprocess.run(
        [sys.executable, str(CLIENT), address, reader, "2", "[]"],
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        env=box.env,
    )
    assert b"PERMISSION_DENIED" in done.stderr
