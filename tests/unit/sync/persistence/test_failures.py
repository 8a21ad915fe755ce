"""A store that fails: memory is the truth, and storage catches up.  What nim-sds tests of its own, on every store."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.errors import CorruptionError, StorageError
from holdfast.sync.events import SaveFailed
from holdfast.sync.persistence.base import ChannelData
from holdfast.sync.profiles import LAN
from holdfast.sync.testkit import CHANNEL, SyncRoom, message

InRoom = Callable[..., None]
TINY = LAN.replaced(history_max=2, bloom_capacity=2)


def appends(room: SyncRoom) -> list[str]:
    return [name for name, append in room.peer._channels[CHANNEL].history.pending.items() if append]


def evicts(room: SyncRoom) -> list[str]:
    return [name for name, append in room.peer._channels[CHANNEL].history.pending.items() if not append]


def test_a_failing_load_is_the_callers_error(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing.add("load_channel")
        with pytest.raises(StorageError, match="load_channel fails"):
            await room.ensure()
        assert room.peer.channels == []
        room.store.failing.clear()
        assert await room.ensure()

    in_room(story, ensured=False)


def test_a_failing_snapshot_does_not_fail_the_operation(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing.add("save_channel_meta")
        await room.wrap("m1")
        assert room.peer.status(CHANNEL).outgoing == 1
        assert [event for event in room.heard if isinstance(event, SaveFailed)]
        room.store.failing.clear()
        await room.wrap("m2", b"\2")
        assert await room.outgoing() == {"m1", "m2"}

    in_room(story)


def test_a_failing_history_does_not_fail_the_operation(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing.add("update_history")
        await room.wrap("m1")
        assert room.history() == ["m1"]

    in_room(story)


def test_failed_history_is_stored_with_a_later_operation_in_one_call(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing.add("update_history")
        await room.wrap("m1")
        assert room.history() == ["m1"]
        assert appends(room) == ["m1"]
        await room.wrap("m2", b"\2")
        assert appends(room) == ["m1", "m2"]
        assert await room.log() == []
        room.store.failing.clear()
        room.store.calls.clear()
        await room.wrap("m3", b"\3")
        assert room.store.calls["update_history"] == 1
        assert appends(room) == []
        assert await room.log() == ["m1", "m2", "m3"]

    in_room(story)


def test_the_latest_wins_between_append_and_evict(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing.add("update_history")
        await room.unwrap(message("m1", 1))
        await room.unwrap(message("m2", 2))
        await room.unwrap(message("m3", 3))
        assert room.history() == ["m2", "m3"]
        assert evicts(room) == ["m1"]
        assert appends(room) == ["m2", "m3"]
        await room.unwrap(message("m1", 4))  # repaired: it is new to us again
        assert "m1" in room.history()
        assert "m1" not in evicts(room)
        assert "m1" in appends(room)
        room.store.failing.clear()
        await room.mark_met()
        assert await room.log() == ["m3", "m1"]

    in_room(story, TINY)


def test_an_operation_without_history_of_its_own_stores_what_waits(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing.add("update_history")
        await room.wrap("m1")
        assert appends(room) == ["m1"]
        room.store.failing.clear()
        await room.mark_met("nonexistent")
        assert appends(room) == []
        assert await room.log() == ["m1"]

    in_room(story)


def test_a_sweep_stores_what_waits(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing |= {"update_history", "save_channel_meta"}
        await room.wrap("m1")
        room.store.failing.clear()
        await room.later(0.001)
        assert await room.log() == ["m1"]
        assert await room.outgoing() == {"m1"}

    in_room(story)


def test_a_failing_drop_is_the_callers_error(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.wrap("m1")
        room.store.failing.add("drop_channel")
        with pytest.raises(StorageError, match="drop_channel fails"):
            await room.saver.remove(CHANNEL)
        with pytest.raises(StorageError):
            await room.saver.reset()
        assert room.history() == ["m1"]
        assert await room.log() == ["m1"]
        room.store.failing.clear()
        await room.saver.remove(CHANNEL)
        assert await room.log() == []

    in_room(story)


def test_a_failing_hint_is_stored_later(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.unwrap(message("m", 1))
        room.store.failing.add("set_retrieval_hint")
        room.peer.set_hint(CHANNEL, "m", b"here")
        await room.flush()
        room.store.failing.clear()
        await room.mark_met()
        assert (await room.stored()).history[0].hint == b"here"

    in_room(story)


def test_nothing_evicted_during_an_outage_piles_up(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        room.store.failing |= {"update_history", "save_channel_meta"}
        for number in range(50):
            await room.unwrap(message(f"m{number}", number))
        assert room.peer.status(CHANNEL).unsaved <= 2 * TINY.history_max + 1
        room.store.failing.clear()
        await room.mark_met()
        assert await room.log() == ["m48", "m49"]

    in_room(story, TINY)


def test_each_operation_saves_once_at_most(in_room: InRoom) -> None:
    """Exactly how often, for each kind of operation."""

    async def story(room: SyncRoom) -> None:
        calls = room.store.calls

        async def counted(expected: dict[str, int], operation: Coroutine[Any, Any, Any]) -> None:
            calls.clear()
            await operation
            assert dict(calls) == expected

        both = {"save_channel_meta": 1, "update_history": 1}
        meta = {"save_channel_meta": 1}
        await counted(both, room.wrap("m1"))
        await counted(both, room.unwrap(message("b1", 5)))
        await counted({}, room.unwrap(message("b1", 5)))  # a repetition that changes nothing
        await counted(meta, room.unwrap(message("c", 30, ["b"])))
        await counted(meta, room.unwrap(message("b", 20, ["a"])))
        await counted(both, room.unwrap(message("a", 10)))  # a cascade of three
        await counted(meta, room.unwrap(message("sync", 40, ["a"], content=b"")))
        await counted({}, room.unwrap(message("m1", 40, sender="alice")))  # our own, echoed
        await counted(meta, room.unwrap(message("d", 50, ["e"])))
        await counted(both, room.mark_met("e"))
        await counted({}, room.mark_met("unknown"))
        await counted(meta, room.later(LAN.resend_s))  # a resend
        await counted({"load_channel": 1}, room.ensure("another"))
        await counted({}, room.ensure("another"))

    in_room(story)


def test_an_idle_channel_saves_nothing(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.ensure("busy")
        await room.unwrap(message("m", 1))
        await room.wrap("w", channel="busy")
        room.store.calls.clear()
        for _ in range(100):
            await room.later(0.1)
        # Only the busy one has something that time changes: its message is sent again.
        resends = [packet for packet in room.peer.packets() if packet.kind == "resend"]
        assert {packet.channel for packet in resends} == {"busy"}
        assert dict(room.store.calls) == {"save_channel_meta": len(resends)}

    in_room(story)


def test_what_cannot_be_read_whole_is_refused(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.wrap("m1")
        meta, history = await room.stored()
        await room.restart()
        broken = [
            ChannelData(meta[:-1], history),
            ChannelData(meta, (history[0]._replace(data=history[0].data[:-1]),)),
            ChannelData(meta, (history[0]._replace(message_id="another"),)),
        ]
        for stored in broken:
            with pytest.raises(CorruptionError):
                room.peer.ensure(CHANNEL, room.now, stored)
            assert room.peer.channels == []
            assert room.peer.writes() == []
            assert room.peer.events() == []
        assert room.peer.ensure(CHANNEL, room.now, ChannelData(meta, history))

    in_room(story)
