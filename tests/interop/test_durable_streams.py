"""Durable Streams as others know them: the public conformance suite, and the clients people install."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import durable_streams
import pytest

from tests.interop.conftest import HttpNode

CORE_TESTS = 332
SUITE_S = 300
"""A guard against hanging; the suite waits for lifetimes of seconds to end and takes half a minute."""


def vitest(project: Path, file: str, report: Path, **variables: str) -> dict[str, Any]:
    """Run one file; the JSON report."""
    command = [str(project / "node_modules/.bin/vitest"), "run", file, "--reporter=json", f"--outputFile={report}"]
    done = subprocess.run(
        command, cwd=project, env={**os.environ, **variables}, capture_output=True, timeout=SUITE_S, check=False
    )
    assert report.exists(), done.stdout.decode() + done.stderr.decode()
    result: dict[str, Any] = json.loads(report.read_text())
    return result


def failures(report: dict[str, Any]) -> list[str]:
    return [
        f"{test['fullName']}: {test['failureMessages'][:1]}"
        for file in report["testResults"]
        for test in file["assertionResults"]
        if test["status"] == "failed"
    ]


@pytest.mark.timeout(SUITE_S + 60)
@pytest.mark.parametrize("engine", ["sqlite", "memory"])
def test_the_public_conformance_suite_passes(
    start_http: Callable[..., HttpNode], npm_project: Path, tmp_path: Path, engine: str
) -> None:
    node = start_http("--engine", engine, "--http-open", "--http-origin", "https://example.com", http_long_poll_s="4s")
    report = vitest(npm_project, "conformance.test.mjs", tmp_path / "report.json", HOLDFAST_TEST_URL=node.url)
    assert failures(report) == []
    assert report["numPassedTests"] == CORE_TESTS


@pytest.mark.timeout(SUITE_S)
def test_the_npm_client_reads_and_appends(
    start_http: Callable[..., HttpNode], npm_project: Path, tmp_path: Path
) -> None:
    node = start_http()
    report = vitest(
        npm_project,
        "client.test.mjs",
        tmp_path / "report.json",
        HOLDFAST_TEST_URL=node.url,
        HOLDFAST_TEST_TOKEN=node.token,
    )
    assert failures(report) == []
    assert report["numPassedTests"] == 4


def authorized(node: HttpNode) -> dict[str, Any]:
    return {"Authorization": f"Bearer {node.token}"}


def test_the_pypi_client_reads_and_appends(start_http: Callable[..., HttpNode]) -> None:
    node = start_http()
    url = f"{node.url}/v1/stream/pypi/sync"
    with durable_streams.DurableStream.create(url, content_type="application/json", headers=authorized(node)) as handle:
        for number in range(5):
            offset = handle.append({"number": number}).next_offset
        assert handle.head().offset == offset
        with durable_streams.stream(url, headers=authorized(node), live=False) as answer:
            assert answer.read_json() == [{"number": number} for number in range(5)]
            assert answer.offset == offset
        with pytest.raises(durable_streams.SeqConflictError):
            handle.append({"number": 5}, seq="b")
            handle.append({"number": 6}, seq="a")
        handle.delete()
        with pytest.raises(durable_streams.StreamNotFoundError):
            handle.head()


@pytest.mark.parametrize("live", ["long-poll", "sse"])
def test_the_pypi_client_follows(start_http: Callable[..., HttpNode], live: Any) -> None:
    node = start_http()
    url = f"{node.url}/v1/stream/pypi/{live}"

    async def write(handle: durable_streams.AsyncDurableStream) -> None:
        for number in range(20):
            await handle.append({"number": number})

    async def main() -> list[Any]:
        got: list[Any] = []
        async with await durable_streams.AsyncDurableStream.create(
            url, content_type="application/json", headers=authorized(node)
        ) as handle:
            writing = asyncio.create_task(write(handle))
            async with durable_streams.astream(url, offset="-1", headers=authorized(node), live=live) as answer:
                async for item in answer.iter_json():
                    got.append(item)
                    if len(got) == 20:
                        break
            await writing
        return got

    assert asyncio.run(main()) == [{"number": number} for number in range(20)]


def test_without_a_token_there_is_nothing(start_http: Callable[..., HttpNode]) -> None:
    node = start_http()
    with pytest.raises(durable_streams.DurableStreamError) as caught:
        durable_streams.DurableStream.create(f"{node.url}/v1/stream/x", content_type="text/plain")
    assert caught.value.status == 401
