"""Whatever comes from the network: an error or nothing, never a change of state by what is refused, never a blow-up."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import HoldfastError, LimitExceeded, ProtocolError
from holdfast.limits import LIMITS, Limits
from holdfast.simulation.sync.memory import held_bytes
from holdfast.sync.model import Dialect, HistoryEntry, Message
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import INTEROP_NIM, LAN
from holdfast.sync.testkit import CHANNEL, NOW_S, message
from holdfast.sync.wire import Wire
from holdfast.sync.wire.protobuf import bytes_field, number_field, text_field

DIALECTS: tuple[Dialect, ...] = ("spec", "nim")


def victim(dialect: Dialect = "spec", limits: Limits = LIMITS) -> SyncPeer:
    """A participant with something in every buffer."""
    profile = LAN if dialect == "spec" else INTEROP_NIM
    peer = SyncPeer("alice", dialect=dialect, profile=profile, limits=limits)
    peer.ensure(CHANNEL, NOW_S)
    peer.wrap(CHANNEL, b"x", NOW_S, "mine")
    peer.unwrap(message("theirs", 5, dialect=dialect), NOW_S)
    peer.unwrap(message("waits", 6, ["gone"], dialect=dialect), NOW_S)
    peer.unwrap(
        message("asks", 7, asks_for=[HistoryEntry("theirs", b"", "bob")], sender="carol", dialect=dialect), NOW_S
    )
    peer.events(), peer.packets()
    drain(peer)
    return peer


def drain(peer: SyncPeer) -> None:
    for write in peer.writes():
        peer.saved(write.channel, write.number)


def snapshot(peer: SyncPeer) -> tuple[Any, ...]:
    """All state there is, as it would be stored."""
    channel = peer._channels[CHANNEL]
    return (
        channel.journal._snapshot(),
        [record.message_id for record in channel.history],
        list(channel.history.heads),
        channel.bloom.wire(),
        peer.status(CHANNEL),
        peer.missing(CHANNEL),
    )


def refused(peer: SyncPeer, data: bytes) -> HoldfastError:
    """``data`` is an error, and nothing has changed."""
    before = snapshot(peer)
    with pytest.raises(HoldfastError) as caught:
        peer.unwrap(data, NOW_S)
    assert snapshot(peer) == before
    assert peer.events() == [] and peer.packets() == [] and peer.writes() == []
    return caught.value


@given(st.binary(max_size=300))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_random_bytes(dialect: Dialect, data: bytes) -> None:
    refused(victim(dialect), data)


@settings(max_examples=200)
@given(st.data())
@pytest.mark.parametrize("dialect", DIALECTS)
def test_messages_with_bytes_changed(dialect: Dialect, data: st.DataObject) -> None:
    """Either an error that changes nothing, or a message like any other."""
    peer = victim(dialect)
    packet = bytearray(message("next", 9, ["theirs", "mine"], asks_for=[HistoryEntry("theirs")], dialect=dialect))
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    before = snapshot(peer)
    try:
        peer.unwrap(bytes(packet), NOW_S)
    except HoldfastError:
        assert snapshot(peer) == before
    assert peer.status(CHANNEL).history <= 4


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_other_dialect(dialect: Dialect) -> None:
    other: Dialect = "nim" if dialect == "spec" else "spec"
    error = refused(victim(dialect), message("m", 9, ["theirs"], dialect=other))
    assert isinstance(error, ProtocolError) and error.reason == "dialect"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("lamport", [2**62, 2**63, 2**64 - 1])
def test_a_clock_far_in_the_future(dialect: Dialect, lamport: int) -> None:
    for content in (b"x", b""):
        error = refused(victim(dialect), message("m", lamport, content=content, dialect=dialect))
        assert isinstance(error, ProtocolError) and error.reason == "clock"


def test_a_clock_just_within_bounds_leaves_room_to_go_on() -> None:
    peer = victim()
    peer.unwrap(message("m", int(NOW_S * 1000) + LIMITS.group_clock_ahead_max), NOW_S)
    assert Wire("spec").decode(peer.wrap(CHANNEL, b"x", NOW_S)).message.lamport is not None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_ids_of_10_kb(dialect: Dialect) -> None:
    huge = "x" * 10_240
    for data in (
        message(huge, 9, dialect=dialect),
        message("m", 9, [huge], dialect=dialect),
        message("m", 9, sender=huge, dialect=dialect),
        message("m", 9, channel=huge, dialect=dialect),
        message("m", 9, asks_for=[HistoryEntry(huge)], dialect=dialect),
    ):
        error = refused(victim(dialect), data)
        assert isinstance(error, LimitExceeded) and error.name == "group_id_bytes_max"


def test_content_over_its_limit_and_packets_over_theirs() -> None:
    too_large = {
        "group_content_bytes_max": LIMITS.group_content_bytes_max + 1,
        "group_wire_bytes_max": LIMITS.group_wire_bytes_max,
    }
    for limit, size in too_large.items():
        error = refused(victim(), message("m", 9, content=bytes(size)))
        assert isinstance(error, LimitExceeded) and error.name == limit


def test_a_channel_we_do_not_have() -> None:
    assert refused(victim(), message("m", 9, channel="another")).details()["name"] == "another"


@pytest.mark.parametrize(
    "bloom", [b"", b"\0", b"\xff" * 18_751, b"\xff" * 100_000, bytes_field(1, b"\xff" * 8) + number_field(5, 2**63)]
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_filters_of_other_sizes_are_ignored(dialect: Dialect, bloom: bytes) -> None:
    peer = victim(dialect)
    peer.unwrap(message("m", 9, content=b"", bloom=bloom, dialect=dialect), NOW_S)
    assert peer.events() == []
    assert peer.status(CHANNEL).outgoing == 1


def test_lengths_that_promise_the_world_allocate_nothing() -> None:
    for size in (2**31, 2**32, 2**63):
        refused(victim(), text_field(1, "s") + b"\x12" + number_field(1, size)[1:])


def test_messages_that_wait_are_bounded() -> None:
    peer = victim(limits=LIMITS._replace(group_incoming_max=5, group_missing_max=50))
    for number in range(4):
        peer.unwrap(message(f"m{number}", 9, [f"gone{number}"]), NOW_S)
    drain(peer)
    peer.events()
    error = refused(peer, message("one-more", 9, ["gone"]))
    assert isinstance(error, LimitExceeded) and error.name == "group_incoming_max"
    # What is waited for is still taken, and makes room.
    peer.unwrap(message("gone0", 1), NOW_S)
    peer.unwrap(message("one-more", 9, ["gone"]), NOW_S)


def test_bytes_that_wait_are_bounded() -> None:
    peer = victim(limits=LIMITS._replace(group_incoming_bytes_max=2_500, group_outgoing_bytes_max=2_500))
    for number in range(2):
        peer.unwrap(message(f"m{number}", 9, ["gone"], content=bytes(1_000)), NOW_S)
        peer.wrap(CHANNEL, bytes(1_000), NOW_S)
    drain(peer)
    peer.events()
    error = refused(peer, message("m3", 9, ["gone"], content=bytes(1_000)))
    assert isinstance(error, LimitExceeded) and error.name == "group_incoming_bytes_max"
    with pytest.raises(LimitExceeded, match="group_outgoing_bytes_max"):
        peer.wrap(CHANNEL, bytes(1_000), NOW_S)
    peer.unwrap(message("gone", 1), NOW_S)
    assert peer._channels[CHANNEL].incoming.held_bytes == 0


def test_filters_and_requests_of_messages_that_wait_are_not_kept() -> None:
    peer = victim()
    wanted = [HistoryEntry(f"wanted{number}", b"h" * 1_000, "x") for number in range(500)]
    before = held_bytes(peer)
    for number in range(20):
        bloom = bytes(500_000 + number)
        peer.unwrap(message(f"m{number}", 9, ["gone"], bloom=bloom, asks_for=wanted), NOW_S)
    drain(peer)
    assert peer.status(CHANNEL).incoming == 21
    assert held_bytes(peer, peer._shared.wire) - before < 100_000


def test_what_is_waited_for_is_bounded() -> None:
    limits = LIMITS._replace(group_missing_max=50)
    for content in (b"x", b""):
        error = refused(
            victim(limits=limits), message("m", 9, [f"gone{number}" for number in range(60)], content=content)
        )
        assert isinstance(error, LimitExceeded) and error.name == "group_missing_max"


def test_our_buffer_is_bounded() -> None:
    peer = SyncPeer("alice", limits=LIMITS._replace(group_outgoing_max=3))
    peer.ensure(CHANNEL, NOW_S)
    for _ in range(3):
        peer.wrap(CHANNEL, b"x", NOW_S)
    with pytest.raises(LimitExceeded, match="group_outgoing_max"):
        peer.wrap(CHANNEL, b"x", NOW_S)


TINY = {
    "entries": lambda n: bytes_field(11, text_field(1, f"{n:x}")),
    "requests": lambda n: bytes_field(13, text_field(1, f"{n:x}")),
    "unknown": lambda n: number_field(15, 1),
    "filters": lambda n: bytes_field(12, b""),
    "contents": lambda n: bytes_field(20, b"x"),
    "clocks": lambda n: number_field(10, 5),
}


@pytest.mark.parametrize("kind", TINY)
def test_no_more_is_read_of_a_message_of_many_tiny_parts_than_one_may_have(kind: str) -> None:
    many = b"".join([TINY[kind](number) for number in range(50_000)])
    data = text_field(2, "m") + text_field(3, CHANNEL) + many
    error = refused(victim(), data)
    assert isinstance(error, LimitExceeded) and error.name == "group_entries_max"
    tracemalloc.start()
    with pytest.raises(LimitExceeded):
        victim().unwrap(data, NOW_S)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(data) + 1_000_000


def test_an_entry_of_many_tiny_fields_is_refused() -> None:
    entry = text_field(1, "m") + number_field(4, 1) * 500_000
    assert "over 64 fields" in str(refused(victim(), text_field(2, "m") + bytes_field(11, entry)))


def test_a_flood_of_references_costs_only_its_own_size() -> None:
    """The largest message there may be, over and over: what it leaves is bounded by the limits."""
    peer = victim()
    names = tuple([HistoryEntry(f"gone{number}", b"", "mallory") for number in range(LIMITS.group_entries_max)])
    for turn in range(20):
        flood = Message(f"flood{turn}", CHANNEL, 9, b"x", "mallory", causal=names, repairs=names)
        peer.unwrap(Wire("spec").encode(flood), NOW_S)
    status = peer.status(CHANNEL)
    assert status.missing == LIMITS.group_entries_max + 1
    assert status.repair_requests <= LAN.repair_buffer
    assert len(peer.wrap_sync(CHANNEL, NOW_S + 10)) < 10_000
