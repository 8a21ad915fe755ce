"""Whatever is broken in the core, a world with it comes to a bad end, and says what was broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.simulation.sync.disk import SyncDisk
from holdfast.simulation.sync.options import SyncOptions
from holdfast.simulation.sync.run import run_sync
from holdfast.sync.core import receiving
from holdfast.sync.core.channel import Channel
from holdfast.sync.core.parts.outgoing import Outgoing
from holdfast.sync.core.parts.repair import Repair
from holdfast.sync.events import MessageReady
from holdfast.sync.model import HistoryEntry, Message
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.base import ChannelData

ROUGH = SyncOptions(peers=5, messages=40, over_s=5.0, loss=0.3, duplicate=0.2, crashes=2, seed=5)

_deliver, _log, _arrived, _inspect = Channel.deliver, SyncPeer.log, Repair.arrived, receiving._inspect


def wait_for_nothing(channel: Channel, message: Message) -> tuple[tuple[HistoryEntry, ...], list[Any]]:
    return (), _inspect(channel, message)[1]


def tell_all_twice(channel: Channel, message: Message, kept: bytes, lost: tuple[str, ...]) -> None:
    _deliver(channel, message, kept, lost)
    channel.shared.events += [event for event in channel.shared.events if isinstance(event, MessageReady)]


def never_tell_one(channel: Channel, message: Message, kept: bytes, lost: tuple[str, ...]) -> None:
    _deliver(channel, message, kept, lost)
    if message.message_id == "m39":
        channel.shared.events.pop()


def change_the_content(channel: Channel, message: Message, kept: bytes, lost: tuple[str, ...]) -> None:
    changed = Message(message.message_id, message.channel, message.lamport, b"?", message.sender_id, message.causal)
    _deliver(channel, changed, kept, lost)


def leak(channel: Channel, message: Message, kept: bytes, lost: tuple[str, ...]) -> None:
    _deliver(channel, message, kept, lost)
    channel.history.past[message.message_id + "!" * 5_000] = None


def keep_asking(repair: Repair, message_id: str, *_: Any) -> bool:
    return _arrived(repair, "")


def acknowledge_nothing(outgoing: Outgoing, *_: Any) -> list[str]:
    return []


def look_up_nothing(outgoing: Outgoing, *_: Any) -> list[Any]:
    return []


def forget_when_dying(disk: SyncDisk) -> ChannelData:
    return ChannelData(b"", ())


def order_by_name(peer: SyncPeer, channel: str) -> list[Message]:
    return sorted(_log(peer, channel), key=lambda message: message.message_id)


def show_less(peer: SyncPeer, channel: str) -> list[Message]:
    return _log(peer, channel)[1:]


@pytest.mark.parametrize(
    ("where", "mutant", "what"),
    [
        (receiving, wait_for_nothing, "before 1 messages of peer"),
        (Channel, tell_all_twice, "twice"),
        (Channel, never_tell_one, "no convergence: peer"),
        (Channel, change_the_content, "with another content"),
        (Channel, leak, "bytes for"),
        (Repair, keep_asking, "asks for"),
        (SyncDisk, forget_when_dying, "was given m"),
        (SyncPeer, order_by_name, "out of order"),
        (SyncPeer, show_less, "messages in its log, not 40"),
    ],
)
def test_a_broken_core_comes_to_a_bad_end(
    monkeypatch: pytest.MonkeyPatch, where: object, mutant: Callable[..., Any], what: str
) -> None:
    names = {
        wait_for_nothing: "_inspect",
        keep_asking: "arrived",
        forget_when_dying: "load",
        order_by_name: "log",
        show_less: "log",
    }
    monkeypatch.setattr(where, names.get(mutant, "deliver"), mutant)
    report = run_sync(ROUGH)
    assert not report.ok
    assert what in report.error


def test_a_core_that_takes_no_acknowledgement_comes_to_a_bad_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outgoing, "acknowledge_until", acknowledge_nothing)
    monkeypatch.setattr(Outgoing, "review", look_up_nothing)
    monkeypatch.setattr(Outgoing, "next_deadline", lambda self: None)
    monkeypatch.setattr(Outgoing, "take_due", lambda self, now: ([], []))
    report = run_sync(ROUGH._replace(crashes=0))
    assert "messages stay unacknowledged" in report.error


def test_the_core_as_it_is_comes_to_a_good_end() -> None:
    report = run_sync(ROUGH)
    assert report.ok, report.error
    assert report.crashes == 2
