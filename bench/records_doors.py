"""Records by other doors: over gRPC, and beside an OCI registry that stores the same blobs on the same machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench.records import drain, push, rate, records
from holdfast.client.aio import connect
from holdfast.grpc.client import GrpcRecords
from holdfast.testing import NodeBox, wait_until

Figure = dict[str, Any]

REGISTRY = "docker-registry"
"""Debian's package, and the program in it."""
CONNECTIONS = 8
"""To the registry, at once: more do not make it faster."""


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` uses less data and fewer runs."""
    runs = 3 if quick else 5
    with NodeBox.temporary() as box:
        box.start_node("--grpc", "127.0.0.1:0", "--grpc-open")
        over_grpc = uvloop.run(_grpc(box, runs, 2_000 if quick else 10_000))
        return [*over_grpc, _beside_registry(box, runs, 200 if quick else 1_000)]


async def _grpc(box: NodeBox, runs: int, count: int) -> list[Figure]:
    pushing, pulling, looking = [], [], []
    async with GrpcRecords(box.listening("grpc").removeprefix("grpc://")) as client:
        for run in range(runs):
            refs: list[str] = []

            async def pushed(run: int = run, refs: list[str] = refs) -> None:
                async for result in client.push_stream(records(f"grpc-{run}", count)):
                    assert result.ref is not None
                    refs.append(result.ref.cid)

            pushing.append(await rate(count, pushed()))
            pulling.append(await rate(count, drain(client.pull_stream(refs))))
            looking.append(await rate(count, drain(client.lookup_stream(refs))))
    return [
        _figure("records of 1 KiB pushed on one gRPC stream, ack disk", pushing, 5_000),
        _figure("records of 1 KiB pulled and verified on one gRPC stream", pulling, None),
        _figure("records looked up on one gRPC stream", looking, None),
    ]


def _figure(name: str, values: list[float], goal: float | None) -> Figure:
    value = statistics.median(values)
    reached = None if goal is None else value >= goal
    return {"name": name, "value": round(value), "unit": "/s", "goal": goal, "reached": reached, "runs": len(values)}


# the registry


def _beside_registry(box: NodeBox, runs: int, count: int) -> Figure:
    """Ours and theirs in turn.  Theirs gets the blobs only, without a manifest for each."""
    name = "records of 1 KiB pushed on one stream, ack disk (SDK), beside an OCI registry"
    if shutil.which(REGISTRY) is None:
        return {"name": name, "value": None, "unit": "/s", "goal": ">= 10 x peer", "note": f"{REGISTRY} is not here"}
    ours, theirs = [], []
    with registry() as address:
        for run in range(runs):
            ours.append(asyncio.run(_ours(box, f"oci-{run}", 10 * count)))
            theirs.append(_theirs(address, f"oci-{run}", count))
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    return {
        "name": name,
        "value": round(statistics.median(ours)),
        "unit": "/s",
        "goal": ">= 10 x peer",
        "reached": ratio >= 10,
        "peer": f"{REGISTRY} over {CONNECTIONS} connections, not synced to disk",
        "peer_value": round(statistics.median(theirs)),
        "ratio": round(ratio, 1),
        "runs": runs,
    }


async def _ours(box: NodeBox, run: str, count: int) -> float:
    async with connect(box.url, autostart=False) as node:
        return await rate(count, push(node, records(run, count), []))


def _theirs(address: str, run: str, count: int) -> float:
    blobs = [json.dumps(record).encode() for record in records(run, count)]
    shares = [blobs[start::CONNECTIONS] for start in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        started = time.perf_counter()
        for done in [pool.submit(_upload, address, share) for share in shares]:
            done.result()
        return count / (time.perf_counter() - started)


def _upload(address: str, blobs: list[bytes]) -> None:
    """Each blob as the protocol has it: begin an upload, then its content with its digest."""
    connection = http.client.HTTPConnection(address)
    for blob in blobs:
        connection.request("POST", "/v2/bench/blobs/uploads/", headers={"Content-Length": "0"})
        begun = connection.getresponse()
        begun.read()
        place = urlsplit(begun.headers["Location"])
        digest = hashlib.sha256(blob).hexdigest()
        connection.request("PUT", f"{place.path}?{place.query}&digest=sha256:{digest}", body=blob)
        stored = connection.getresponse()
        stored.read()
        assert stored.status == 201, stored.status
    connection.close()


@contextlib.contextmanager
def registry() -> Iterator[str]:
    """A registry of our own, in a directory that goes with it; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as directory:
        settings = Path(directory, "config.yml")
        settings.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/store}}}}\nhttp: {{addr: '{address}'}}\n"
        )
        process = subprocess.Popen([REGISTRY, "serve", str(settings)], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: _answers(address), "the registry answers")
            yield address
        finally:
            process.terminate()
            process.wait()


def _answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
