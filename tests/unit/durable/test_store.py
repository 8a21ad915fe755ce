"""Which store has which paths."""

from __future__ import annotations

import pytest

from holdfast.clock import VirtualClock
from holdfast.durable.store import Mounts
from holdfast.durable.streams import DurableStreams
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import NotFound
from holdfast.limits import LIMITS
from tests.conftest import Run


def test_the_first_segment_decides(run: Run) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        await engine.start()
        root, other = (DurableStreams(engine, clock=VirtualClock(), limits=LIMITS) for _ in range(2))
        mounts = Mounts(root, ["jobs", "channels"])
        mounts.mount("jobs", other)
        assert mounts.find("jobs/a/b") == (other, "a/b")
        assert mounts.find("jobs") == (other, "")
        assert mounts.find("jobs2/a") == (root, "jobs2/a")
        for path in ("channels", "channels/a"):
            with pytest.raises(NotFound):
                mounts.find(path)
        await engine.stop()

    run(main())
