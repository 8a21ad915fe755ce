"""Random lives of logs, compared with the simplest thing that could be right: a list."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import count
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ...errors import ClosedError, Duplicate, Fenced, Gone, HoldfastError, SequenceGap, UsageError
from ..base import Engine, LogMode, Producer
from .support import Cell, EngineFactory, cells, collect

Step = tuple[Any, ...]
_names = count()

_TAGS = st.sampled_from([0, 0, 0, 1, 15])
_ACKS = st.sampled_from(["disk", "os", "memory"])
_STEPS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.binary(max_size=40), max_size=6), _TAGS, _ACKS),
    st.tuples(st.just("append"), st.lists(st.binary(min_size=300, max_size=600), min_size=1, max_size=3), _TAGS, _ACKS),
    st.tuples(
        st.just("produce"),
        st.lists(st.binary(max_size=40), max_size=3),
        st.sampled_from("pq"),
        st.sampled_from([0, 0, 0, 0, 1, -1]),
        st.sampled_from([1, 1, 1, 1, 0, 2, -1]),
        st.sampled_from([None, None, b"", b"meta"]),
        _ACKS,
    ),
    st.tuples(st.just("fork"), st.floats(0, 1), st.sampled_from(["stay", "go", "delete"])),
    st.tuples(st.just("swap"), st.integers(0, 5)),
    st.tuples(st.just("annotate"), st.binary(max_size=5)),
    st.tuples(st.just("skip"), st.integers(1, 50)),
    st.tuples(st.just("trim"), st.floats(0, 1)),
    st.tuples(st.just("read"), st.floats(0, 1), st.integers(1, 1500)),
    st.tuples(st.just("settle")),
    st.tuples(st.just("close"), st.one_of(st.none(), st.lists(st.binary(max_size=9), max_size=3))),
    st.tuples(st.just("restart")),
)


class _Model:
    """A log as a list with one cell for each position."""

    def __init__(self, mode: LogMode) -> None:
        self.mode = mode
        self.first = 0 if mode == "bytes" else 1
        self.cells: list[Cell] = []
        self.oldest = self.first
        self.meta = b""
        self.producers: dict[str, Producer] = {}
        self.closed = False

    @property
    def tail(self) -> int:
        return self.first + len(self.cells)

    def fork(self, position: int) -> _Model:
        """What a fork at ``position`` is."""
        made = _Model(self.mode)
        forgotten = (0, 0) if self.mode == "bytes" else (b"", 0)
        made.cells = [forgotten] * (self.oldest - self.first) + self.since(self.oldest)[: position - self.oldest]
        made.oldest = self.oldest
        return made

    def cuts_a_blob(self, position: int) -> bool:
        """Whether a fork at ``position`` would have part of a blob."""
        return self.mode == "runs" and self.oldest < position < self.tail and self.since(position)[0][1] > 0

    def add(self, parts: list[bytes], tag: int) -> None:
        if self.mode == "runs":
            self.cells += [(b"".join(parts), place) for place in range(len(parts))]
        elif self.mode == "bytes":
            self.cells += [(byte, tag) for byte in b"".join(parts)]
        else:
            self.cells += [(part, tag) for part in parts]

    def verdict(self, producer: Producer) -> type[HoldfastError] | None:
        """What an append of ``producer`` meets in the log; None if it is taken."""
        known = self.producers.get(producer.id, Producer(producer.id, -1, -1))
        if producer.epoch < known.epoch:
            return Fenced
        if producer.epoch == known.epoch and producer.sequence <= known.sequence:
            return Duplicate
        if self.closed:
            return ClosedError
        if producer.epoch == known.epoch:
            return None if producer.sequence == known.sequence + 1 else SequenceGap
        return UsageError if producer.sequence else None

    def place(self, share: float) -> int:
        """A position, ``share`` of the way from the first to one beyond the tail."""
        return self.first + round(share * (len(self.cells) + 1))

    def since(self, position: int) -> list[Cell]:
        return self.cells[position - self.first :]

    def sizes(self) -> int:
        return self.size_of(self.since(self.oldest))

    def size_of(self, some: list[Cell]) -> int:
        """Payload; of a blob that is there in part, all of it."""
        if self.mode == "runs":
            return sum(map(len, _blobs(some)))
        return sum(len(value) if isinstance(value, bytes) else 1 for value, _ in some if value is not None)

    def holes(self) -> int:
        return sum(value is None for value, _ in self.cells)


def _blobs(some: list[Cell]) -> list[bytes]:
    return [value for number, (value, place) in enumerate(some) if isinstance(value, bytes) and not (number and place)]


class _Life:
    """One log of an engine and its model, side by side."""

    def __init__(self, factory: EngineFactory, mode: LogMode) -> None:
        self.factory = factory
        self.model = _Model(mode)
        self.name = f"life {next(_names)}"
        self.waiting: list[tuple[Awaitable[int], int]] = []
        self.engine: Engine = factory()
        self.others: list[tuple[str, _Model]] = []

    async def run(self, steps: list[Step]) -> None:
        await self.engine.start()
        try:
            await self.engine.log.create(self.name, mode=self.model.mode)
            for kind, *arguments in steps:
                await getattr(self, kind)(*arguments)
                await self.compare_stat()
            await self.settle()
            for _ in range(len(self.others) + 1):
                await self.compare_stat()
                await self.finish()
                await self.swap(0)
        finally:
            await self.engine.stop()

    async def append(self, parts: list[bytes], tag: int, ack: Literal["disk", "os", "memory"]) -> None:
        options = {} if self.model.mode == "runs" else {"tag": tag}
        wait = self._append(parts, ack=ack, **options)
        if self.model.closed:
            with pytest.raises(ClosedError):
                await wait
            return
        self.model.add(parts, tag)
        self.waiting.append((wait, self.model.tail))

    def _append(self, parts: list[bytes], **options: Any) -> Awaitable[int]:
        if self.model.mode == "runs":
            options["count"] = len(parts)
        data = parts if self.model.mode == "entries" else b"".join(parts)
        return self.engine.log.append(self.name, data, **options)

    async def produce(
        self, parts: list[bytes], name: str, epochs: int, sequences: int, meta: bytes | None, ack: str
    ) -> None:
        known = self.model.producers.get(name, Producer(name, 0, -1))
        sequence = known.sequence + sequences if not epochs else 0
        producer = Producer(name, max(known.epoch + epochs, 0), max(sequence, 0))
        verdict = self.model.verdict(producer)
        wait = self._append(parts, producer=producer, meta=meta, ack=ack)
        if verdict is not None:
            with pytest.raises(verdict):
                await wait
            return
        self.model.producers[name] = producer
        self.model.meta = self.model.meta if meta is None else meta
        self.model.add(parts, 0)
        self.waiting.append((wait, self.model.tail))

    async def fork(self, share: float, then: str) -> None:
        """Go on with the log, or with its fork; the other one is looked at later, or deleted."""
        position = self.model.place(share)
        name = f"life {next(_names)}"
        wait = self.engine.log.fork(name, self.name, position)
        if not self.model.oldest <= position <= self.model.tail or self.model.cuts_a_blob(position):
            with pytest.raises(Gone if position < self.model.oldest else UsageError):
                await wait
            return
        made = self.model.fork(position)
        stat = await wait
        assert (stat.name, stat.oldest, stat.tail, stat.closed) == (name, made.oldest, made.tail, False)
        if then == "stay":
            self.others.append((name, made))
            return
        if then == "go":
            self.others.append((self.name, self.model))
        else:
            await self.engine.log.delete(self.name)
        self.name, self.model = name, made

    async def swap(self, number: int) -> None:
        """Go on with another of the logs."""
        if self.others:
            other = self.others.pop(number % len(self.others))
            self.others.append((self.name, self.model))
            self.name, self.model = other

    async def annotate(self, meta: bytes) -> None:
        await self.engine.log.annotate(self.name, meta)
        self.model.meta = meta

    async def skip(self, length: int) -> None:
        if self.model.mode != "bytes" or self.model.closed:
            return
        self.model.cells += [(None, 0)] * length
        self.waiting.append((self.engine.log.skip(self.name, length), self.model.tail))

    async def trim(self, share: float) -> None:
        position = self.model.place(share)
        if position > self.model.tail:
            with pytest.raises(UsageError):
                await self.engine.log.trim(self.name, position)
            return
        await self.engine.log.trim(self.name, position)
        self.model.oldest = max(self.model.oldest, position)

    async def read(self, share: float, max_bytes: int) -> None:
        await self.settle()
        position = self.model.place(share)
        if position < self.model.oldest:
            with pytest.raises(Gone) as caught:
                await self.engine.log.read(self.name, position)
            assert caught.value.oldest == self.model.oldest
        elif position > self.model.tail:
            with pytest.raises(UsageError):
                await self.engine.log.read(self.name, position)
        else:
            got = cells(await self.engine.log.read(self.name, position, max_bytes=max_bytes), position)
            assert got == self.model.since(position)[: len(got)]
            assert got or position == self.model.tail
            size, pieces = self.model.size_of(got), len(got)
            if self.model.mode == "runs":
                pieces = len(_blobs(got))
            assert size <= max_bytes or pieces == 1

    async def settle(self) -> None:
        for wait, end in self.waiting:
            assert await wait == end
        self.waiting.clear()

    async def close(self, parts: list[bytes] | None = None) -> None:
        if parts is None or self.model.closed:
            await self.engine.log.close(self.name)
        else:
            self.model.add(parts, 0)
            assert await self._append(parts, close=True) == self.model.tail
        self.model.closed = True

    async def restart(self) -> None:
        await self.engine.stop()
        await self.settle()
        self.engine = self.factory()
        await self.engine.start()

    async def compare_stat(self) -> None:
        stat, model = await self.engine.log.stat(self.name), self.model
        assert (stat.oldest, stat.tail, stat.closed) == (model.oldest, model.tail, model.closed)
        assert (stat.stored_bytes, stat.hole_bytes) == (model.sizes(), model.holes())
        for name in "pq":
            assert await self.engine.log.producer(self.name, name) == model.producers.get(name)
        if not self.waiting:
            assert stat.meta == model.meta

    async def finish(self) -> None:
        """All that is left, by following it to its end."""
        await self.close()
        pieces = await collect(self.engine.log.follow(self.name, self.model.oldest, max_bytes=333))
        assert cells(pieces, self.model.oldest) == self.model.since(self.model.oldest)


class ModelContract:
    """Random lives."""

    @pytest.mark.parametrize("mode", ["bytes", "entries", "runs"])
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=st.lists(_STEPS, max_size=25))
    def test_a_log_is_a_list(self, engine_factory: EngineFactory, mode: LogMode, steps: list[Step]) -> None:
        asyncio.run(_Life(engine_factory, mode).run(steps))
