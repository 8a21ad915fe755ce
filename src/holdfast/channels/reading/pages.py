"""Pages of a channel: after an index or a time, the newest, or sorted by sender."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...errors import Gone, LimitExceeded, UsageError
from ..unpacking import cut_run, cut_runs, heads_of, split_runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...engine.base import Packed
    from ...limits import Limits
    from ..model import Order
    from ..state.channel import Channel
    from ..state.store import ChannelStore, Stored
    from ..unpacking import Run

_FRAME_SPARE_BYTES = 1024
"""What an answer's frame needs besides the page."""


def first_index(channel_id: str, after: int | None, oldest: int, next_index: int) -> int:
    """The index to begin with after ``after``.

    UsageError for one that is negative or beyond the last entry, Gone(oldest) for one whose next is not kept any more.
    """
    if after is None:
        return oldest
    if after < 0:
        raise UsageError(f"after: {after} is negative", field="after")
    if after >= next_index:
        raise UsageError(f"after: {after} is beyond the last index {next_index - 1} of {channel_id}", field="after")
    if after + 1 < oldest:
        raise Gone(f"channel {channel_id}: entries below {oldest} have been dropped", oldest=oldest)
    return after + 1


class ChannelReader:
    """Reads pages of channels."""

    def __init__(self, store: ChannelStore, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def page(
        self, channel: Channel, after: int | None, limit: int, since: float | None, last: int, order: Order
    ) -> bytes:
        """See :meth:`ChannelsApi.read`; the caller has been let in."""
        for name, value in (("limit", limit), ("last", last)):
            if value < 0:
                raise UsageError(f"{name}: {value} is negative", field=name)
        stored = await self._store.stat(channel)
        if order == "sender":
            if since is not None or last:
                raise UsageError("order: by sender there is neither since nor last", field="order")
            return await self._sorted_page(channel, stored, after or 0, limit)
        start = first_index(channel.id, after, stored.oldest, stored.next_index)
        if last:
            start = max(start, stored.next_index - last)
        if since is not None:
            start = max(start, await self._first_since(channel, stored, since))
        return await self._page(channel, start, min(stored.next_index, start + limit) if limit else stored.next_index)

    async def _page(self, channel: Channel, start: int, until: int) -> bytes:
        """What fits a page of the entries from ``start`` to below ``until``."""
        page = Page(self._limits)
        while start < until and not page.full:
            pieces = await self._store.read(channel, start, page.room)
            if not pieces:
                break
            for piece in pieces:
                page.add(cut_runs(piece.data, start, until) if _needs_cut(piece, start, until) else piece.data)
                if page.full:
                    break
            start = pieces[-1].end
        return page.data()

    async def _first_since(self, channel: Channel, stored: Stored, since: float) -> int:
        """The index of the first entry taken at or after ``since``; they never go back in time."""
        low, high = stored.oldest, stored.next_index
        while low < high:
            middle = (low + high) // 2
            pieces = await self._store.read(channel, middle, 1)
            if not pieces:  # not durable yet: newer than all that can be read
                high = middle
                continue
            for run in split_runs(pieces[0].data):
                if run.first_index <= middle < run.next_index:
                    if run.timestamp < since:
                        low = run.next_index
                    else:
                        high = run.first_index
        return low

    # by sender

    async def _sorted_page(self, channel: Channel, stored: Stored, skip: int, limit: int) -> bytes:
        if skip < 0:
            raise UsageError(f"after: {skip} is negative", field="after")
        count = stored.next_index - stored.oldest
        if count > self._limits.channel_sorted_max:
            raise LimitExceeded(name="channel_sorted_max", limit=self._limits.channel_sorted_max, value=count)
        keys: list[tuple[str, int, float, int]] = []
        async for run in self._runs(channel, stored.oldest, stored.next_index):
            indexes = range(run.first_index, run.next_index)
            keys += [(run.sender, s, run.timestamp, i) for s, i in zip(heads_of(run).sequences, indexes, strict=True)]
        keys.sort()
        page = Page(self._limits)
        near: dict[int, Run] = {}
        for *_, index in keys[skip : skip + limit if limit else None]:
            if index not in near:
                near = await self._runs_near(channel, index)
            page.add(cut_run(near[index], index, index + 1))
            if page.full:
                break
        return page.data()

    async def _runs(self, channel: Channel, start: int, until: int) -> AsyncIterator[Run]:
        while start < until:
            pieces = await self._store.read(channel, start, self._limits.channel_page_bytes)
            if not pieces:
                return
            for piece in pieces:
                for run in split_runs(cut_runs(piece.data, start, until)):
                    yield run
            start = pieces[-1].end
            await asyncio.sleep(0)

    async def _runs_near(self, channel: Channel, index: int) -> dict[int, Run]:
        """The runs around ``index``, by the indexes in them."""
        pieces = await self._store.read(channel, index, self._limits.channel_page_bytes)
        runs = [run for piece in pieces for run in split_runs(piece.data)]
        return {index: run for run in runs for index in range(run.first_index, run.next_index)}


class Page:
    """Runs for one answer."""

    def __init__(self, limits: Limits) -> None:
        self._bytes_max = limits.channel_page_bytes
        self._answer_bytes_max = limits.frame_bytes_max - _FRAME_SPARE_BYTES
        self._parts: list[bytes] = []
        self._size = 0
        self.full = False

    @property
    def room(self) -> int:
        """Bytes that are left; at least one, so that something is read."""
        return max(1, self._bytes_max - self._size)

    def add(self, runs: bytes) -> None:
        """As much of ``runs`` as fits.

        LimitExceeded(name="frame_bytes_max") if that is nothing, though the page is empty.
        """
        if self._size + len(runs) <= self._bytes_max:
            self._parts.append(runs)
            self._size += len(runs)
            return
        for run in split_runs(runs):
            self._add_run(run)
            if self.full:
                return

    def _add_run(self, run: Run) -> None:
        size = run.end - run.start_of_run
        if self._size + size > self._bytes_max:
            self.full = True
            run_bytes = self._beginning(run)
        else:
            run_bytes = run.data[run.start_of_run : run.end]
        self._parts.append(run_bytes)
        self._size += len(run_bytes)

    def _beginning(self, run: Run) -> bytes:
        """The part of ``run`` that fits; of an empty page at least one entry."""
        starts = heads_of(run).starts
        room = self._bytes_max - self._size - (run.start - run.start_of_run)
        fitting = sum(1 for stop in starts[1:] if stop - run.start <= room)
        if fitting == 0 and not self._size:
            fitting = 1
            size = starts[1] - run.start_of_run
            if size > self._answer_bytes_max:
                raise LimitExceeded(
                    f"frame_bytes_max: the entry {run.first_index} has {size} bytes, more than fit an answer; "
                    "subscribe to it instead",
                    name="frame_bytes_max",
                    limit=self._answer_bytes_max,
                    value=size,
                )
        return cut_run(run, run.first_index, run.first_index + fitting)

    def data(self) -> bytes:
        """The page."""
        return b"".join(self._parts)


def _needs_cut(piece: Packed, start: int, until: int) -> bool:
    return piece.position < start or piece.end > until
