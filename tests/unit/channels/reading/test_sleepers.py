"""A subscriber that sleeps for 30 s while 20,000 entries a second come: nothing missed, or told where to go on.

In virtual time: the channel's own rate lets no more through.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.channels.model import ChannelLimits
from holdfast.channels.packing import encode_batch
from holdfast.channels.testkit import ChannelRoom
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import SubscriberTooSlow
from holdfast.limits import LIMITS

Run = Callable[[Coroutine[Any, Any, Any]], Any]

CHANNEL = "p/c"
PER_S = 20_000
ASLEEP_S = 30
BATCH = 1_000
ENTRIES = PER_S * ASLEEP_S
PAYLOAD = b"x" * 20


def test_half_a_minute_at_twenty_thousand_a_second(run: Run) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        async with ChannelRoom(lambda: engine) as room:
            limits = ChannelLimits(rate_per_s=PER_S, burst=BATCH + 1, entries_max=2 * ENTRIES)
            await room.router.create(room.owner, "p", "c", limits=limits)
            paged = await room.listen(CHANNEL, frozen=True, window_bytes=LIMITS.viewer_window_bytes)
            hasty = await room.listen(CHANNEL, frozen=True, policy="disconnect")
            awake = await room.listen(CHANNEL)
            for first in range(1, ENTRIES + 1, BATCH):
                batch = encode_batch([PAYLOAD] * BATCH, first_sequence=first)
                await room.router.append(room.owner, CHANNEL, batch)
                await awake.until(lambda one: one.last_index == first + BATCH - 1)  # noqa: B023 - waited for here
                awake.entries.clear()
                room.clock.advance(BATCH / PER_S)
            assert room.clock.now() == pytest.approx(ASLEEP_S)
            info = await room.router.get(room.owner, CHANNEL)
            assert info.last_index == info.lag_entries == ENTRIES
            assert info.lag_bytes <= LIMITS.subscriber_buffer_bytes

            paged.thaw()
            await paged.until(lambda one: one.last_index == ENTRIES)
            assert [entry.index for entry in paged.entries] == list(range(1, ENTRIES + 1))

            hasty.thaw()
            await hasty.until(lambda one: one.over)
            assert isinstance(hasty.error, SubscriberTooSlow)
            last = hasty.error.last_position
            assert [entry.index for entry in hasty.entries] == list(range(1, last + 1))
            assert 0 < last <= LIMITS.subscriber_entries_max
            again = await room.listen(CHANNEL, after=last)
            await again.until(lambda one: one.last_index == ENTRIES)
            assert [entry.index for entry in again.entries] == list(range(last + 1, ENTRIES + 1))
            for listener in (paged, awake, again):
                listener.cut()

    run(main())
