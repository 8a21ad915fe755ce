"""The stream commands as one caller calls them, over a memory engine; what travels on streams is tested elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from holdfast.clock import VirtualClock
from holdfast.durable.model import ProducerMark
from holdfast.durable.readers import Readers
from holdfast.durable.service import Streams, StreamsService
from holdfast.durable.store import Mounts, StreamStore
from holdfast.durable.streams import DurableStreams
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import ClosedError, Conflict, NotFound, PermissionDenied, UsageError
from holdfast.limits import LIMITS
from tests.conftest import Run


class Caller:
    """Reads what begins with its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sees(self, path: str) -> bool:
        return path.startswith(self._name)

    def check_read(self, path: str) -> None:
        if not self.sees(path):
            raise PermissionDenied(path)

    def view_of(self, store: StreamStore) -> StreamStore:
        return store


Test = Callable[[StreamsService], Coroutine[Any, Any, None]]


def play(run: Run, test: Test, caller: str = "", **limits: Any) -> None:
    async def main() -> None:
        bounds = LIMITS._replace(**limits)
        engine = MemoryEngine()
        await engine.start()
        own = DurableStreams(engine, clock=VirtualClock(), limits=bounds)
        await own.open()
        other = DurableStreams(engine, clock=VirtualClock(), limits=bounds)
        mounts = Mounts(own, ("jobs", "__ds"))
        mounts.mount("jobs", other)
        streams = Streams(own, mounts, Readers(bounds))
        await test(StreamsService(streams, Caller(caller), cast("Any", None), bounds))
        await own.close()
        await engine.stop()

    run(main())


def test_an_append_needs_no_content_type(run: Run) -> None:
    async def test(service: StreamsService) -> None:
        made = await service.create("s", b"1", "application/json")
        assert made.created and made.info.tail == 1
        assert (await service.append("s", b"[2, 3]")).tail == 3
        assert (await service.append("s", b"4", "application/json; charset=utf-8")).tail == 4
        with pytest.raises(Conflict):
            await service.append("s", b"5", "text/plain")
        with pytest.raises(UsageError):
            await service.append("s", b"5", "nonsense")
        mark = ProducerMark("p")
        assert await service.append("s", b"6", producer=mark) != await service.append("s", b"6", producer=mark)
        assert (await service.append("s", close=True)).closed
        assert (await service.append("s", b"6", producer=mark)).duplicate, "it is there, though nothing can come"
        with pytest.raises(ClosedError):
            await service.append("s", b"7", producer=ProducerMark("p", 0, 1))
        assert not (await service.create("s", content_type="application/json", closed=True)).created

    play(run, test)


def test_forks_count_back_and_are_for_those_who_may_read_the_source(run: Run) -> None:
    async def test(service: StreamsService) -> None:
        await service.create("ann/s", b"0123456789")
        for at, tail in ((None, 10), (4, 4), (-4, 6), (-40, 0)):
            assert (await service.create(f"ann/{at}", fork_of="ann/s", fork_at=at)).info.tail == tail
        with pytest.raises(UsageError, match="fork_at"):
            await service.create("ann/x", fork_at=1)
        with pytest.raises(PermissionDenied):
            await service.create("ann/x", fork_of="zoe/s")
        with pytest.raises(UsageError, match="fork_of"):
            await service.create("ann/x", fork_of="jobs/s")

    play(run, test, "ann/")


def test_lists_hold_what_the_caller_sees_in_pages(run: Run) -> None:
    async def test(service: StreamsService) -> None:
        for path in ("ann/c", "ann/a", "zoe/a", "ann/b"):
            await service.create(path)
        assert [info.path for info in await service.list()] == ["ann/a", "ann/b"]
        assert [info.path for info in await service.list(after="ann/b")] == ["ann/c"]
        assert await service.list(after="ann/c") == []
        assert [info.path for info in await service.list("ann/c")] == ["ann/c"]

    play(run, test, "ann/", streams_page_max=2)


def test_reserved_paths_are_looked_at_and_not_written(run: Run) -> None:
    async def test(service: StreamsService) -> None:
        for path in ("jobs/x", "jobs", "__ds/x"):
            for wrong in (service.create(path), service.append(path, b"x"), service.remove(path)):
                with pytest.raises(UsageError) as caught:
                    await wrong
                assert caught.value.field == "path"
            with pytest.raises(NotFound) as none:
                await service.info(path)
            assert none.value.name == path

    play(run, test)
