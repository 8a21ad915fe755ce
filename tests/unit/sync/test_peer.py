"""The protocol, as a participant lives it: order, acknowledgement, resends, sync messages, what is given up."""

from __future__ import annotations

import itertools

import pytest

from holdfast.errors import LimitExceeded, NotFound, UsageError
from holdfast.limits import LIMITS
from holdfast.sync.core.parts.rolling_bloom import RollingBloom
from holdfast.sync.events import (
    DependenciesMissing,
    EphemeralReceived,
    Event,
    MessageAcknowledged,
    MessagePossiblyAcknowledged,
    MessageReady,
    MessagesIrretrievable,
    MessagesLost,
    MessageUnacknowledged,
    RetrievalHintWanted,
    SyncDue,
)
from holdfast.sync.model import Dialect, HistoryEntry, Message, Packet
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import INTEROP, INTEROP_NIM, LAN, Profile
from holdfast.sync.testkit import CHANNEL, NOW_S, message
from holdfast.sync.wire import Wire


def peer(
    name: str = "alice",
    profile: Profile = LAN,
    *,
    dialect: Dialect = "spec",
    auto_sync: bool = True,
    hints: bool = False,
) -> SyncPeer:
    made = SyncPeer(name, profile=profile, dialect=dialect, auto_sync=auto_sync, hints=hints, persistent=False)
    made.ensure(CHANNEL, NOW_S)
    return made


def decode(data: bytes, dialect: Dialect = "spec") -> Message:
    return Wire(dialect).decode(data).message


def ready(events: list[Event]) -> list[str]:
    return [event.message_id for event in events if isinstance(event, MessageReady)]


def acknowledged(events: list[Event]) -> list[str]:
    return [event.message_id for event in events if isinstance(event, MessageAcknowledged)]


def advance(peer: SyncPeer, until: float) -> list[tuple[float, Packet]]:
    """Let time pass deadline by deadline; what goes out, and when."""
    found = []
    while (at := peer.next_deadline()) is not None and at <= until:
        peer.handle_timer(at)
        found += [(at, packet) for packet in peer.packets()]
    return found


# sending


def test_participants_of_one_process_may_share_their_wire() -> None:
    wire = Wire("spec")
    alice, bob = (SyncPeer(name, wire=wire) for name in ("alice", "bob"))
    for one in (alice, bob):
        one.ensure(CHANNEL, NOW_S)
    bob.unwrap(alice.wrap(CHANNEL, b"x", NOW_S, "m"), NOW_S)
    assert ready(bob.events()) == ["m"]
    with pytest.raises(UsageError, match="wire: is of dialect spec, not nim"):
        SyncPeer("carol", dialect="nim", wire=wire)


def test_a_message_carries_clock_history_and_content() -> None:
    alice = peer()
    first = decode(alice.wrap(CHANNEL, b"one", NOW_S, "m1"))
    assert (first.message_id, first.channel, first.sender_id, first.content) == ("m1", CHANNEL, "alice", b"one")
    assert first.lamport == int(NOW_S * 1000)
    assert first.causal == ()
    second = decode(alice.wrap(CHANNEL, b"two", NOW_S, "m2"))
    assert second.lamport == int(NOW_S * 1000) + 1
    assert second.causal == (HistoryEntry("m1", b"", "alice"),)


def test_the_clock_of_each_dialect() -> None:
    spec, nim = peer(), peer(profile=INTEROP_NIM, dialect="nim")
    assert decode(spec.wrap(CHANNEL, b"x", NOW_S + 7.0005)).lamport == int(NOW_S * 1000) + 7_000
    assert decode(nim.wrap(CHANNEL, b"x", NOW_S + 7.9), "nim").lamport == int(NOW_S) + 8
    nim.unwrap(message("m", int(NOW_S) + 100, dialect="nim"), NOW_S)
    assert nim.status(CHANNEL).lamport == int(NOW_S) + 101
    assert decode(nim.wrap(CHANNEL, b"x", NOW_S), "nim").lamport == int(NOW_S) + 102


def test_a_clock_set_back_never_takes_lamport_back() -> None:
    alice = peer()
    before = decode(alice.wrap(CHANNEL, b"x", NOW_S)).lamport
    alice.wall_offset_s = -1e6
    after = decode(alice.wrap(CHANNEL, b"x", NOW_S)).lamport
    assert before is not None and after == before + 1
    alice.wall_offset_s = 1e6
    assert decode(alice.wrap(CHANNEL, b"x", NOW_S)).lamport == int((NOW_S + 1e6) * 1000)


def test_without_an_id_each_message_gets_its_own() -> None:
    alice, bob = peer(), peer("bob")
    made = {decode(who.wrap(CHANNEL, b"same", NOW_S)).message_id for who in (alice, alice, bob)}
    assert len(made) == 3
    assert all(len(name) == 20 for name in made)


def test_what_cannot_be_sent_is_named() -> None:
    alice = peer()
    with pytest.raises(UsageError, match="content"):
        alice.wrap(CHANNEL, b"", NOW_S)
    with pytest.raises(LimitExceeded, match="group_content_bytes_max"):
        alice.wrap(CHANNEL, bytes(LIMITS.group_content_bytes_max + 1), NOW_S)
    with pytest.raises(LimitExceeded, match="group_id_bytes_max"):
        alice.wrap(CHANNEL, b"x", NOW_S, "x" * 1_025)
    with pytest.raises(UsageError, match="message_id"):
        alice.wrap(CHANNEL, b"x", NOW_S, "")
    with pytest.raises(NotFound, match="ensure"):
        alice.wrap("elsewhere", b"x", NOW_S)
    with pytest.raises(UsageError, match="dialect"):
        SyncPeer("alice", dialect="other")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="channel"):
        alice.ensure("", NOW_S)
    assert alice.status(CHANNEL).history == 0
    assert len(alice.wrap(CHANNEL, bytes(LIMITS.group_content_bytes_max), NOW_S)) > LIMITS.group_content_bytes_max


def test_the_same_id_again_is_the_same_message() -> None:
    alice = peer()
    first = alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    assert decode(alice.wrap(CHANNEL, b"other", NOW_S + 1, "m1")) == decode(first)
    alice.unwrap(message("ack", 5, ["m1"], content=b""), NOW_S)
    with pytest.raises(UsageError, match="another message"):
        alice.wrap(CHANNEL, b"x", NOW_S, "m1")


# receiving


def test_messages_are_delivered_after_what_they_depend_on() -> None:
    alice = peer()
    assert alice.unwrap(message("c", 3, ["b"]), NOW_S).missing == (HistoryEntry("b"),)
    assert alice.unwrap(message("b", 2, ["a"]), NOW_S).missing == (HistoryEntry("a"),)
    assert ready(alice.events()) == []
    assert alice.missing(CHANNEL) == [HistoryEntry("a")]
    assert alice.unwrap(message("a", 1), NOW_S).missing == ()
    assert ready(alice.events()) == ["a", "b", "c"]


def test_what_one_delivery_frees_comes_by_clock_then_id() -> None:
    alice = peer()
    for name, lamport in (("z", 5), ("b", 7), ("a", 7), ("late", 9)):
        alice.unwrap(message(name, lamport, ["root"]), NOW_S)
    alice.unwrap(message("after-a", 8, ["a"]), NOW_S)
    alice.unwrap(message("root", 1), NOW_S)
    assert ready(alice.events()) == ["root", "z", "a", "b", "after-a", "late"]


def test_every_peer_has_the_same_log_whatever_came_first() -> None:
    parts = [message("a", 5), message("b", 5), message("c", 4), message("d", 6, ["a", "b"])]
    logs = []
    for order in (parts, parts[::-1]):
        alice = peer()
        for part in order:
            alice.unwrap(part, NOW_S)
        logs.append([one.message_id for one in alice.log(CHANNEL)])
    assert logs == [["c", "a", "b", "d"]] * 2


def test_a_repetition_delivers_nothing() -> None:
    alice = peer()
    alice.unwrap(message("a", 1), NOW_S)
    alice.unwrap(message("w", 2, ["x"]), NOW_S)
    alice.events()
    again = alice.unwrap(message("a", 1), NOW_S)
    assert again.duplicate and again.content == b"a"
    waiting = alice.unwrap(message("w", 2, ["x"]), NOW_S)
    assert waiting.duplicate and waiting.missing == (HistoryEntry("x"),)
    assert alice.events() == []


def test_packets_may_be_any_bytes_like_object() -> None:
    alice = peer()
    for number, kind in enumerate((bytes, bytearray, memoryview)):
        alice.unwrap(kind(message(f"m{number}", 1)), NOW_S)
    assert ready(alice.events()) == ["m0", "m1", "m2"]


def test_our_own_message_echoed_acknowledges_nothing() -> None:
    """Regression: an echo by the transport is no sign that anybody has it."""
    alice = peer()
    first, second = alice.wrap(CHANNEL, b"1", NOW_S, "m1"), alice.wrap(CHANNEL, b"2", NOW_S, "m2")
    own_sync = alice.wrap_sync(CHANNEL, NOW_S)
    before = alice.status(CHANNEL)
    for echo in (first, second, own_sync):
        assert alice.unwrap(echo, NOW_S).duplicate
    assert alice.events() == []
    assert alice.status(CHANNEL) == before
    assert before.outgoing == 2


def test_our_own_message_that_we_lost_is_taken_back() -> None:
    before = peer()
    lost = before.wrap(CHANNEL, b"mine", NOW_S, "m1")
    alice = peer()  # came back without its state
    alice.unwrap(message("reply", int(NOW_S * 1000) + 5, ["m1"]), NOW_S)
    alice.unwrap(lost, NOW_S)
    assert ready(alice.events()) == ["m1", "reply"]
    assert alice.status(CHANNEL).outgoing == 0


def test_our_own_message_sent_anew_under_its_id_frees_what_waits_for_it() -> None:
    alice = peer()
    alice.unwrap(message("reply", int(NOW_S * 1000), ["m1", "m0"]), NOW_S)
    with pytest.raises(UsageError, match="another message"):
        alice.wrap(CHANNEL, b"x", NOW_S, "reply")
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    assert ready(alice.events()) == []
    alice.wrap(CHANNEL, b"x", NOW_S, "m0")
    assert ready(alice.events()) == ["reply"]
    assert alice.status(CHANNEL).state == "synced"


def test_a_message_that_refers_to_itself_does_not_wait_for_itself() -> None:
    alice = peer()
    alice.unwrap(message("m", 1, ["m"]), NOW_S)
    assert ready(alice.events()) == ["m"]


def test_dependencies_met_by_other_means() -> None:
    alice = peer()
    alice.unwrap(message("c", 3, ["a", "b"]), NOW_S)
    alice.mark_dependencies_met(CHANNEL, ["a", "unknown"], NOW_S)
    assert ready(alice.events()) == []
    alice.mark_dependencies_met(CHANNEL, ["b"], NOW_S)
    assert ready(alice.events()) == ["c"]
    status = alice.status(CHANNEL)
    assert (status.state, status.lost, status.repair_requests) == ("synced", 0, 0)
    assert alice.unwrap(message("d", 4, ["a"]), NOW_S).missing == ()
    alice.unwrap(message("a", 1), NOW_S)
    assert ready(alice.events()) == ["d", "a"]


def test_missing_dependencies_are_told_once() -> None:
    alice = peer()
    alice.unwrap(message("s1", 2, ["x", "y"], content=b""), NOW_S)
    alice.unwrap(message("s2", 3, ["x", "y"], content=b""), NOW_S)
    alice.unwrap(message("m", 4, ["y"]), NOW_S)
    told = [event for event in alice.events() if isinstance(event, DependenciesMissing)]
    assert [(one.message_id, [entry.message_id for entry in one.missing]) for one in told] == [
        ("s1", ["x", "y"]),
        ("m", ["y"]),
    ]
    assert alice.status(CHANNEL).missing == 2


def test_channels_are_apart() -> None:
    alice = peer()
    alice.ensure("other", NOW_S)
    assert not alice.ensure("other", NOW_S)
    alice.unwrap(message("a", 1), NOW_S)
    alice.unwrap(message("b", 2, ["a"], channel="other"), NOW_S)
    assert ready(alice.events()) == ["a"]
    assert alice.status("other").missing == 1
    alice.remove("other")
    with pytest.raises(NotFound):
        alice.unwrap(message("c", 3, channel="other"), NOW_S)
    assert list(alice.channels) == [CHANNEL]
    alice.reset()
    assert list(alice.channels) == []
    alice.cleanup()
    assert alice.next_deadline() is None


# acknowledgement


def test_the_causal_history_acknowledges_and_with_it_all_before() -> None:
    alice = peer()
    for number in range(5):
        alice.wrap(CHANNEL, b"x", NOW_S, f"m{number}")
    alice.unwrap(message("b", 5, ["m3"]), NOW_S)
    assert acknowledged(alice.events()) == ["m0", "m1", "m2", "m3"]
    assert alice.status(CHANNEL).outgoing == alice.unacknowledged(CHANNEL) == 1


def test_where_heads_are_not_known_only_what_is_named_is_acknowledged() -> None:
    alice = peer(profile=INTEROP)
    for number in range(3):
        alice.wrap(CHANNEL, b"x", NOW_S, f"m{number}")
    alice.unwrap(message("b", 5, ["m2", "m0"]), NOW_S)
    assert acknowledged(alice.events()) == ["m2", "m0"]


@pytest.mark.parametrize("dialect", ["spec", "nim"])
def test_filters_acknowledge_possibly_and_twice_for_certain(dialect: Dialect) -> None:
    profile = INTEROP if dialect == "spec" else INTEROP_NIM
    alice = peer(profile=profile, dialect=dialect)
    for name in ("m1", "m2"):
        alice.wrap(CHANNEL, b"x", NOW_S, name)
    bloom = RollingBloom(dialect, 10_000, 0.001, adaptive=False)
    bloom.add(bloom.hashes("m1"))
    alice.unwrap(message("s1", 5, content=b"", bloom=bloom.wire(), dialect=dialect), NOW_S)
    assert alice.events() == [MessagePossiblyAcknowledged(CHANNEL, "m1", 1)]
    alice.unwrap(message("s2", 6, content=b"", bloom=bloom.wire(), dialect=dialect), NOW_S)
    assert alice.events() == [MessageAcknowledged(CHANNEL, "m1")]
    assert alice.status(CHANNEL).outgoing == 1


def test_a_filter_of_another_size_is_no_acknowledgement_and_no_error() -> None:
    alice = peer()
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    for size in (8, 18_752):
        alice.unwrap(message(f"s{size}", 5, content=b"", bloom=b"\xff" * size), NOW_S)
    assert alice.events() == []


def test_one_filter_looks_up_a_bounded_number_and_the_next_the_others() -> None:
    alice = peer(profile=INTEROP.replaced(possible_acks=1))
    for number in range(300):
        alice.wrap(CHANNEL, b"x", NOW_S, f"m{number}")
    for turn in range(3):
        alice.unwrap(message(f"s{turn}", 5, content=b"", bloom=b"\xff" * 18_752), NOW_S)
    assert sorted(acknowledged(alice.events())) == sorted(f"m{number}" for number in range(300))


def test_how_far_others_are_behind() -> None:
    alice = peer()
    for number in range(5):
        alice.wrap(CHANNEL, b"x", NOW_S, f"m{number}")
    alice.unwrap(message("b", 5, ["m3"], sender="bob"), NOW_S + 1)
    alice.unwrap(message("c", 6, sender="carol"), NOW_S + 2)
    bob, carol = alice.status(CHANNEL).peers
    assert (bob.sender_id, bob.lamport, bob.last_seen, bob.unacknowledged) == ("bob", 5, NOW_S + 1, 1)
    assert (carol.sender_id, carol.unacknowledged) == ("carol", 5)


def test_figures_of_others_are_bounded() -> None:
    alice = peer()
    for number in range(LIMITS.group_peers_max + 10):
        alice.unwrap(message(f"m{number}", 5, sender=f"s{number}"), NOW_S + number)
    assert len(alice.status(CHANNEL).peers) == LIMITS.group_peers_max


# time


def test_what_nobody_acknowledges_is_sent_again_ever_more_rarely_and_given_up() -> None:
    profile = LAN.replaced(resend_s=1.0, resend_max_s=4.0, resend_attempts=4)
    alice = peer(profile=profile)
    data = alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    resent = [(at - NOW_S, p.data) for at, p in advance(alice, NOW_S + 100) if p.kind == "resend"]
    assert resent == [(1.0, data), (3.0, data), (7.0, data), (11.0, data)]
    assert MessageUnacknowledged(CHANNEL, "m1", 5) in alice.events()
    assert alice.status(CHANNEL).outgoing == 0


def test_slow_acknowledgements_stretch_the_resends() -> None:
    alice = peer(profile=LAN.replaced(resend_s=1.0))
    for number in range(60):
        alice.wrap(CHANNEL, b"x", NOW_S + number, f"m{number}")
        alice.unwrap(message(f"a{number}", 5, [f"m{number}"], content=b""), NOW_S + number + 0.9)
    start = NOW_S + 100
    alice.wrap(CHANNEL, b"x", start, "last")
    at = next(at for at, packet in advance(alice, start + 10) if packet.kind == "resend")
    assert at - start == pytest.approx(1.8, abs=0.05)


def test_what_is_acknowledged_is_not_sent_again() -> None:
    alice = peer()
    alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    alice.unwrap(message("a", 5, ["m1"], content=b""), NOW_S)
    assert [p for _, p in advance(alice, NOW_S + 100) if p.kind == "resend"] == []


def test_a_dependency_that_never_comes_is_given_up_and_delivery_goes_on() -> None:
    alice = peer(profile=LAN.replaced(lost_s=10.0, repair_window_s=60.0))
    alice.unwrap(message("c", 3, ["b", "gone"]), NOW_S)
    alice.unwrap(message("b", 2, ["gone"]), NOW_S + 1)
    advance(alice, NOW_S + 9.9)
    assert ready(alice.events()) == []
    advance(alice, NOW_S + 10)
    events = [event for event in alice.events() if isinstance(event, MessagesLost | MessageReady)]
    assert events[0] == MessagesLost(CHANNEL, ("gone",))
    assert [(one.message_id, one.lost) for one in events[1:] if isinstance(one, MessageReady)] == [
        ("b", ("gone",)),
        ("c", ("gone",)),
    ]
    assert alice.status(CHANNEL)[1] == "lost"
    assert alice.status(CHANNEL).lost == 1
    # It comes after all: late, once, and nothing is lost any more.
    alice.unwrap(message("gone", 1), NOW_S + 11)
    assert ready(alice.events()) == ["gone"]
    assert alice.status(CHANNEL).lost == 0
    assert alice.status(CHANNEL).state == "synced"


def test_messages_that_wait_for_each_other_do_not_wait_for_ever() -> None:
    alice = peer(profile=LAN.replaced(lost_s=10.0))
    alice.unwrap(message("a", 1, ["b"]), NOW_S)
    alice.unwrap(message("b", 2, ["a"]), NOW_S)
    advance(alice, NOW_S + 30)
    assert sorted(ready(alice.events())) == ["a", "b"]
    assert alice.status(CHANNEL).incoming == 0


def test_what_somebody_else_has_and_nobody_sends_is_irretrievable_in_the_end() -> None:
    alice = peer(profile=LAN.replaced(repair_window_s=5.0))
    alice.unwrap(message("s", 3, ["gone"], content=b""), NOW_S)
    assert alice.status(CHANNEL).missing == 1
    advance(alice, NOW_S + 60)
    assert MessagesIrretrievable(CHANNEL, ("gone",)) in alice.events()
    status = alice.status(CHANNEL)
    assert (status.state, status.missing, status.lost, status.repair_requests) == ("lost", 0, 1, 0)


# sync and ephemeral messages


def test_a_sync_message_says_what_we_have_and_is_kept_by_nobody() -> None:
    alice, bob = peer(), peer("bob")
    first = alice.wrap(CHANNEL, b"x", NOW_S, "m1")
    bob.unwrap(first, NOW_S)
    bob.events()
    sync = decode(bob.wrap_sync(CHANNEL, NOW_S))
    assert (sync.kind, sync.causal, sync.content) == ("sync", (HistoryEntry("m1", b"", "alice"),), b"")
    assert sync.bloom
    unwrapped = alice.unwrap(Wire("spec").encode(sync), NOW_S)
    assert (unwrapped.kind, unwrapped.content) == ("sync", b"")
    assert acknowledged(alice.events()) == ["m1"]
    for who in (alice, bob):
        assert who.status(CHANNEL).history == 1


def test_sync_messages_come_soon_after_something_happened_and_then_rarely() -> None:
    alice = peer()
    alice.unwrap(message("m", 1), NOW_S)
    times = [at - NOW_S for at, packet in advance(alice, NOW_S + 300) if packet.kind == "sync"]
    assert times[0] <= 1.5 * LAN.sync_s
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[-1] >= LAN.sync_max_s / 2
    assert len(times) < 20
    alice.unwrap(message("n", 2), NOW_S + 301)
    again = [at for at, packet in advance(alice, NOW_S + 310) if packet.kind == "sync"]
    assert again[0] - (NOW_S + 301) <= 1.5 * LAN.sync_s


def test_whoever_hears_its_own_state_said_keeps_silent() -> None:
    alice, bob = peer(), peer("bob")
    for who in (alice, bob):
        who.unwrap(message("m", 1, sender="carol"), NOW_S)
    (at, first), *_ = [(at, p) for at, p in advance(alice, NOW_S + 5) if p.kind == "sync"]
    bob.unwrap(first.data, NOW_S + 0.1)
    assert bob.next_deadline() is not None
    assert [p for t, p in advance(bob, NOW_S + 1.5 * LAN.sync_s) if p.kind == "sync"] == []
    assert at


def test_whoever_sends_has_said_what_a_sync_message_would() -> None:
    alice = peer()
    sent = [NOW_S + 0.4 * number for number in range(20)]
    for number, at in enumerate(sent):
        assert advance(alice, at) == []
        alice.unwrap(alice_seen(alice.wrap(CHANNEL, b"x", at), number), at)  # somebody has it
    assert [p.kind for at, p in advance(alice, sent[-1] + 1.5 * LAN.sync_s)] == ["sync"]


def alice_seen(data: bytes, number: int) -> bytes:
    return message(f"seen{number}", 10**12 + number, [decode(data).message_id])


def test_peers_spread_their_sync_messages() -> None:
    times = set()
    for number in range(20):
        one = peer(f"p{number}")
        one.unwrap(message("m", 1), NOW_S)
        times.add(round(advance(one, NOW_S + 5)[0][0], 3))
    assert len(times) > 15


def test_a_strictly_periodic_profile_is_strictly_periodic() -> None:
    alice = peer(profile=INTEROP)
    alice.unwrap(message("m", 1), NOW_S)
    times = [at - NOW_S for at, packet in advance(alice, NOW_S + 100) if packet.kind == "sync"]
    assert times == [30.0, 60.0, 90.0]


def test_nothing_to_say_is_not_said() -> None:
    assert advance(peer(), NOW_S + 100) == []


def test_many_messages_are_acknowledged_at_once() -> None:
    alice = peer()
    for number in range(LAN.sync_messages):
        alice.unwrap(message(f"m{number}", number + 1), NOW_S)
    assert alice.next_deadline() == NOW_S


def test_a_caller_may_send_sync_messages_itself() -> None:
    alice = peer(auto_sync=False)
    alice.unwrap(message("m", 1, ["gone"]), NOW_S)
    assert advance(alice, NOW_S + 2) == []
    assert SyncDue(CHANNEL) in alice.events()
    assert [entry.message_id for entry in decode(alice.wrap_sync(CHANNEL, NOW_S + 2)).repairs] == ["gone"]


def test_ephemeral_messages_have_no_order_and_leave_nothing() -> None:
    alice, bob = peer(), peer("bob")
    data = alice.wrap_ephemeral(CHANNEL, b"now")
    assert decode(data).lamport is None
    assert data != alice.wrap_ephemeral(CHANNEL, b"now")
    assert bob.unwrap(data, NOW_S).kind == "ephemeral"
    assert bob.unwrap(data, NOW_S).kind == "ephemeral"
    assert [type(event) for event in bob.events()] == [EphemeralReceived] * 2
    assert alice.unwrap(data, NOW_S).duplicate
    assert alice.events() == []
    for who in (alice, bob):
        assert who.status(CHANNEL).history == 0
        assert who.status(CHANNEL).lamport == 0
    with pytest.raises(UsageError, match="nim"):
        peer(profile=INTEROP_NIM, dialect="nim").wrap_ephemeral(CHANNEL, b"x")
    with pytest.raises(UsageError, match="content"):
        alice.wrap_ephemeral(CHANNEL, b"")


# hints and filters


def test_hints_are_asked_for_and_travel() -> None:
    alice = peer(hints=True)
    alice.unwrap(message("m", 1), NOW_S)
    assert RetrievalHintWanted(CHANNEL, "m") in alice.events()
    alice.set_hint(CHANNEL, "m", b"there")
    alice.set_hint(CHANNEL, "unknown", b"there")
    assert decode(alice.wrap(CHANNEL, b"x", NOW_S)).causal == (HistoryEntry("m", b"there", "bob"),)
    with pytest.raises(LimitExceeded, match="group_hint_bytes_max"):
        alice.set_hint(CHANNEL, "m", bytes(LIMITS.group_hint_bytes_max + 1))


def test_filters_go_with_every_message_only_where_others_need_it() -> None:
    alice, loud = peer(), peer(profile=INTEROP)
    with_filter = [bool(decode(alice.wrap(CHANNEL, b"x", NOW_S)).bloom) for _ in range(64)]
    assert sum(with_filter) == 64 // LAN.bloom_every
    for _ in range(3):
        assert len(decode(loud.wrap(CHANNEL, b"x", NOW_S)).bloom) == 18_752


def test_a_message_of_100_bytes_costs_less_than_400() -> None:
    alice, bob = peer(), peer("bob")
    size = 0
    for number in range(2_000):
        data = alice.wrap(CHANNEL, bytes(100), NOW_S + number / 100)
        size += len(data)
        bob.unwrap(data, NOW_S + number / 100)
        size += len(bob.wrap(CHANNEL, bytes(100), NOW_S + number / 100))
    assert size / 4_000 <= 400


def test_heads_are_among_them_so_that_every_message_is_referred_to() -> None:
    alice = peer(profile=LAN.replaced(causal_entries=2))
    for number in range(10):
        alice.unwrap(message(f"head{number}", number + 1), NOW_S)
    named = {entry.message_id for entry in decode(alice.wrap(CHANNEL, b"x", NOW_S, "mine")).causal}
    assert named == {f"head{number}" for number in range(10)}
    after = [entry.message_id for entry in decode(alice.wrap(CHANNEL, b"x", NOW_S, "next")).causal]
    assert after == ["head9", "mine"]


def test_more_heads_than_fit_wait_for_the_next_message_but_our_own_never_does() -> None:
    alice = peer(profile=LAN.replaced(causal_entries=1, causal_heads=3))
    for number in range(5):
        alice.unwrap(message(f"h{number}", number + 1), NOW_S)
    first = [entry.message_id for entry in decode(alice.wrap(CHANNEL, b"x", NOW_S, "m1")).causal]
    second = [entry.message_id for entry in decode(alice.wrap(CHANNEL, b"x", NOW_S, "m2")).causal]
    third = [entry.message_id for entry in decode(alice.wrap(CHANNEL, b"x", NOW_S, "m3")).causal]
    assert first == ["h0", "h1", "h2"]
    assert second == ["h3", "h4", "m1"]
    assert third == ["m2"]


def test_calling_the_timer_early_or_often_changes_nothing() -> None:
    alice = peer()
    alice.wrap(CHANNEL, b"x", NOW_S)
    at = alice.next_deadline()
    assert at is not None
    for _ in range(3):
        alice.handle_timer(at - 0.001)
    assert alice.packets() == []
    assert alice.next_deadline() == at
