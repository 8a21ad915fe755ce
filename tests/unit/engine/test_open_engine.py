from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.engine import open_engine
from holdfast.errors import StorageError, UsageError


def test_by_kind(tmp_path: Path) -> None:
    async def main() -> None:
        for engine in (open_engine("memory"), open_engine("sqlite", str(tmp_path))):
            await engine.start()
            await engine.log.create("a")
            await engine.stop()

    asyncio.run(main())


def test_what_cannot_be_opened() -> None:
    with pytest.raises(UsageError, match="engine: 'paper' is not one of memory, nats, sqlite"):
        open_engine("paper")
    with pytest.raises(UsageError, match="directory"):
        open_engine("sqlite")


def test_without_nats_py() -> None:
    code = (
        "import sys; sys.modules['nats'] = None\n"
        "from holdfast.engine import open_engine\n"
        "open_engine('memory')\n"
        "open_engine('nats', url='nats://127.0.0.1:1')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UsageError: engine: nats needs nats-py: pip install 'holdfast[nats]'" in done.stderr


def test_a_full_memory_engine_cannot_be_probed() -> None:
    async def main() -> None:
        engine = open_engine("memory", max_bytes=10)
        await engine.start()
        await engine.probe()
        await engine.log.create("a")
        await engine.log.append("a", bytes(10))
        with pytest.raises(StorageError, match="max_bytes = 10"):
            await engine.probe()
        await engine.stop()

    asyncio.run(main())
