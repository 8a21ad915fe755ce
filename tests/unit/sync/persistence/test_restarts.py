"""What a participant leaves behind is what it finds again: what nim-sds tests of its own, on every store."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.sync.model import HistoryEntry
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.noop import NoPersistence
from holdfast.sync.profiles import LAN
from holdfast.sync.saver import Saver
from holdfast.sync.testkit import CHANNEL, NOW_S, SyncRoom, message

Run = Callable[[Coroutine[Any, Any, Any]], Any]
InRoom = Callable[..., None]
SMALL = LAN.replaced(history_max=3, bloom_capacity=3)


def test_the_outgoing_buffer_survives_a_restart(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.wrap("msg-1", b"\1\2\3")
        assert await room.outgoing() == {"msg-1"}
        await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).outgoing == 1
        await room.later(LAN.resend_s)
        assert [packet.message_id for packet in room.peer.packets() if packet.kind == "resend"] == ["msg-1"]

    in_room(story)


def test_the_clock_survives_a_restart(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        ahead = int(room.now * 1000) + 5_000
        await room.unwrap(message("m", ahead))
        await room.wrap("tick")
        saved = (await room.meta()).lamport
        assert saved == ahead + 1
        await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).lamport == saved

    in_room(story)


def test_delivered_messages_survive_a_restart_and_the_filter_is_made_anew(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.unwrap(message("delivered-1", 1))
        assert await room.log() == ["delivered-1"]
        await room.restart()
        await room.ensure()
        assert room.history() == ["delivered-1"]
        assert room.delivered() == []
        assert room.peer._channels[CHANNEL].bloom.has("delivered-1")
        assert (await room.unwrap(message("delivered-1", 1))).duplicate

    in_room(story)


def test_an_acknowledgement_removes_the_stored_outgoing_message(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.wrap("msg-x")
        assert await room.outgoing() == {"msg-x"}
        await room.unwrap(message("ack-bearer", 5, ["msg-x"], content=b""))
        assert await room.outgoing() == set()

    in_room(story)


def test_removing_a_channel_is_one_drop_of_everything(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.wrap("msg-r")
        assert (await room.meta()).lamport > 0
        room.store.calls.clear()
        await room.saver.remove(CHANNEL)
        assert room.store.calls == {"drop_channel": 1}
        assert await room.stored() == ((b""), ())
        assert room.peer.channels == []

    in_room(story)


def test_without_persistence_everything_else_works(run: Run) -> None:
    async def main() -> None:
        peer = SyncPeer("alice")
        saver = Saver(peer, NoPersistence())
        await saver.ensure(CHANNEL, NOW_S)
        peer.wrap(CHANNEL, b"\1", NOW_S, "msg-n")
        assert await saver.flush()
        assert peer.status(CHANNEL).outgoing == 1

    run(main())


def test_the_clock_goes_on_after_a_restart(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.wrap("m1")
        before = (await room.meta()).lamport
        await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).lamport == before
        room.now -= 3_600  # and the wall clock was set back meanwhile
        await room.wrap("m2")
        assert (await room.meta()).lamport > before
        assert room.peer.status(CHANNEL).outgoing == 2

    in_room(story)


def test_restarts_one_after_the_other_keep_everything(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        for number in range(1, 4):
            await room.ensure()
            await room.wrap(f"m{number}", bytes([number]))
            await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).outgoing == 3
        assert await room.outgoing() == {"m1", "m2", "m3"}

    in_room(story, ensured=False)


def test_waiting_messages_survive_a_restart_with_what_they_wait_for(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        unwrapped = await room.unwrap(message("msg-with-deps", 10, ["missing-dep"], sender="carol"))
        assert unwrapped.missing == (HistoryEntry("missing-dep"),)
        assert [waiting.missing for waiting in (await room.meta()).incoming] == [("missing-dep",)]
        await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).incoming == 1
        assert room.peer.missing(CHANNEL) == [HistoryEntry("missing-dep")]
        await room.unwrap(message("missing-dep", 9))
        assert room.delivered() == ["missing-dep", "msg-with-deps"]

    in_room(story)


def test_a_channel_made_again_inherits_nothing(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.wrap("m-old")
        await room.unwrap(message("w", 2, ["gone"]))
        await room.saver.remove(CHANNEL)
        await room.restart()
        await room.ensure()
        status = room.peer.status(CHANNEL)
        assert (status.lamport, status.outgoing, status.incoming, status.missing) == (0, 0, 0, 0)
        assert room.history() == []
        await room.wrap("m-new")
        await room.restart()
        await room.ensure()
        assert room.history() == ["m-new"]

    in_room(story)


def test_repair_requests_survive_a_restart_with_their_absolute_times(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.unwrap(message("msg-needs-repair", 5, ["missing-dep"]))
        (before,) = (await room.meta()).requests
        assert before.due_ms > NOW_S * 1000
        await room.restart()
        room.peer.wall_offset_s = 500.0  # another monotonic clock
        room.now -= 500.0
        await room.ensure()
        due = room.peer._channels[CHANNEL].repair.requests_due.at("missing-dep")
        assert due is not None
        assert due + 500.0 == pytest.approx(before.due_ms / 1000, abs=0.001)

    in_room(story)


def test_a_wall_clock_set_back_across_a_restart_puts_nothing_off(in_room: InRoom) -> None:
    """Regression: a year of clock, wrong and then right again, must not be a year of silence."""

    async def story(room: SyncRoom) -> None:
        await room.wrap("mine")
        await room.unwrap(message("waits", 5, ["missing"]))
        await room.unwrap(message("wanted", 5))
        await room.unwrap(message("asks", 6, asks_for=[HistoryEntry("wanted", b"", "bob")]))
        await room.restart()
        room.now -= 365 * 86_400.0
        await room.ensure()
        await room.later(LAN.resend_s)
        await room.later(LAN.lost_s)
        sent = {(packet.kind, packet.message_id) for packet in room.peer.packets()}
        assert {("resend", "mine"), ("repair", "wanted")} <= sent
        assert room.delivered() == ["waits"]

    in_room(story)


def test_repair_answers_survive_a_restart_with_their_absolute_times(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.unwrap(message("wanted", 5))
        await room.unwrap(message("asking", 6, asks_for=[HistoryEntry("wanted", b"", "bob")], sender="carol"))
        (before,) = (await room.meta()).responses
        await room.restart()
        await room.ensure()
        due = room.peer._channels[CHANNEL].repair.responses_due.at("wanted")
        assert due == pytest.approx(before.due_ms / 1000, abs=0.001)
        await room.later(LAN.repair_max_s)
        (packet,) = [packet for packet in room.peer.packets() if packet.kind == "repair"]
        assert packet.data == message("wanted", 5)

    in_room(story)


def test_the_order_of_eviction_survives_a_restart(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        for number in range(1, 6):
            await room.unwrap(message(f"m{number}", number))
        assert await room.log() == ["m3", "m4", "m5"]
        await room.restart()
        await room.ensure()
        assert room.history() == ["m3", "m4", "m5"]
        await room.unwrap(message("m6", 6))
        assert await room.log() == ["m4", "m5", "m6"]

    in_room(story, SMALL)


def test_a_history_that_may_hold_less_than_before_lets_its_oldest_go(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        for number in range(1, 6):
            await room.unwrap(message(f"m{number}", number))
        room.profile = SMALL
        await room.restart()
        await room.ensure()
        assert room.history() == ["m3", "m4", "m5"]
        assert await room.log() == ["m3", "m4", "m5"]

    in_room(story)


def test_a_cascade_goes_on_across_a_restart(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.unwrap(message("c", 30, ["b"], sender="carol"))
        await room.unwrap(message("b", 20, ["a"]))
        assert len((await room.meta()).incoming) == 2
        await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).incoming == 2
        await room.unwrap(message("a", 10, sender="dave"))
        assert room.delivered() == ["a", "b", "c"]
        assert room.history() == ["a", "b", "c"]
        assert room.peer.status(CHANNEL).state == "synced"
        assert (await room.meta()).incoming == ()

    in_room(story)


def test_what_was_given_up_and_what_was_met_otherwise_stays_so(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.unwrap(message("x", 5, ["met"]))
        await room.mark_met("met")
        await room.unwrap(message("y", 6, ["gone"]))
        await room.later(LAN.lost_s)
        assert room.delivered() == ["x", "y"]
        await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).state == "lost"
        assert (await room.unwrap(message("z", 7, ["met", "gone"]))).missing == ()
        assert room.delivered() == ["z"]

    in_room(story)


def test_unacknowledged_messages_that_left_the_history_come_back_too(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        for number in range(1, 6):
            await room.wrap(f"m{number}")
        assert await room.log() == ["m3", "m4", "m5"]
        await room.restart()
        await room.ensure()
        assert room.peer.status(CHANNEL).outgoing == 5
        await room.unwrap(message("ack", 5, ["m2"], content=b""))
        assert await room.outgoing() == {"m3", "m4", "m5"}
        await room.unwrap(message("ack-2", 6, ["m4"], content=b""))
        assert await room.outgoing() == {"m5"}

    in_room(story, SMALL)


def test_hints_are_stored_with_their_messages(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        await room.unwrap(message("m", 5))
        room.peer.set_hint(CHANNEL, "m", b"ipfs://m")
        await room.flush()
        assert room.store.calls["set_retrieval_hint"] == 1
        await room.restart()
        await room.ensure()
        data = await room.wrap("next")
        refers = room.peer._shared.wire.decode(data).message.causal
        assert refers == (HistoryEntry("m", b"ipfs://m", "bob"),)

    in_room(story)


def test_other_channels_are_left_alone(in_room: InRoom) -> None:
    async def story(room: SyncRoom) -> None:
        for channel in ("one", "two"):
            await room.ensure(channel)
            await room.wrap(f"m-{channel}", channel=channel)
        await room.saver.remove("one")
        await room.restart()
        await room.ensure("one")
        await room.ensure("two")
        assert room.peer.status("one").history == 0
        assert [one.message_id for one in room.peer.log("two")] == ["m-two"]
        await room.saver.reset()
        assert room.peer.channels == []
        assert (await room.stored("two")).history == ()

    in_room(story, ensured=False)
