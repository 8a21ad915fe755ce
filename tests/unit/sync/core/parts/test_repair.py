"""Repair: who asks when, who answers when, and how it ends."""

from __future__ import annotations

import itertools
from hashlib import sha256

import pytest

from holdfast.sync.core.parts.repair import Repair, hash_of, in_response_group, request_wait_ms, response_wait_ms
from holdfast.sync.events import RepairReady
from holdfast.sync.model import HistoryEntry, Message, Packet
from holdfast.sync.peer import SyncPeer
from holdfast.sync.profiles import INTEROP, LAN, Profile
from holdfast.sync.testkit import CHANNEL, NOW_S, message
from holdfast.sync.wire import Wire

WANTED = HistoryEntry("wanted", b"", "bob")
AGAIN_NEVER = INTEROP.replaced(repair_again_s=0)


def peer(name: str = "alice", profile: Profile = LAN) -> SyncPeer:
    made = SyncPeer(name, profile=profile, persistent=False)
    made.ensure(CHANNEL, NOW_S)
    return made


def decode(data: bytes) -> Message:
    return Wire("spec").decode(data).message


def advance(peer: SyncPeer, until: float) -> list[tuple[float, Packet]]:
    found = []
    while (at := peer.next_deadline()) is not None and at <= until:
        peer.handle_timer(at)
        found += [(at, packet) for packet in peer.packets()]
    return found


def asked(data: bytes) -> list[str]:
    return [entry.message_id for entry in decode(data).repairs]


# the sums both implementations do


def test_the_hash_is_the_first_8_bytes_of_sha_256() -> None:
    for text in ("", "alice", "älice"):
        assert hash_of(text) == int(sha256(text.encode()).hexdigest()[:16], 16)


def test_the_times_are_those_of_the_javascript_implementation() -> None:
    assert request_wait_ms("me", "id", 30_000, 120_000) == hash_of("meid") % 90_000 + 30_000
    distance = hash_of("me") ^ hash_of("sender")
    assert response_wait_ms("me", "sender", "id", 120_000) == distance * hash_of("id") % 120_000
    assert response_wait_ms("me", "me", "id", 120_000) == 0


def test_response_groups_hold_the_sender_and_cut_the_others() -> None:
    assert all(in_response_group(f"p{n}", "sender", "id", 1) for n in range(50))
    answering = [n for n in range(500) if in_response_group(f"p{n}", "sender", "id", 5)]
    assert 60 < len(answering) < 140
    assert in_response_group("sender", "sender", "id", 5)


# asking


def test_a_request_waits_its_time_and_then_goes_with_the_next_message() -> None:
    alice = peer(profile=INTEROP)
    alice.unwrap(message("m", 5, ["wanted"]), NOW_S)
    wait = request_wait_ms("alice", "wanted", 30_000, 120_000) / 1000
    assert asked(alice.wrap(CHANNEL, b"x", NOW_S + wait - 0.1)) == []
    assert asked(alice.wrap(CHANNEL, b"x", NOW_S + wait + 0.1)) == ["wanted"]
    assert asked(alice.wrap(CHANNEL, b"x", NOW_S + wait + 0.2)) == []


def test_a_prompt_profile_does_not_wait_for_the_next_message() -> None:
    alice = peer()
    alice.unwrap(message("m", 5, ["wanted"]), NOW_S)
    wait = request_wait_ms("alice", "wanted", 50, 500) / 1000
    requests = [(at, asked(packet.data)) for at, packet in advance(alice, NOW_S + 0.6) if asked(packet.data)]
    ((at, names),) = requests
    assert (round(at - NOW_S, 3), names) == (wait, ["wanted"])


def test_what_does_not_come_is_asked_for_again() -> None:
    alice = peer()
    alice.unwrap(message("m", 5, ["wanted"]), NOW_S)
    times = [at for at, packet in advance(alice, NOW_S + 60) if asked(packet.data)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[:4] == sorted(gaps[:4])
    assert gaps[3:] == [pytest.approx(8 * LAN.repair_again_s + 0.115)] * len(gaps[3:])
    never = peer(profile=AGAIN_NEVER)
    never.unwrap(message("m", 5, ["wanted"]), NOW_S)
    assert len([at for at, packet in advance(never, NOW_S + 600) if asked(packet.data)]) == 1


def test_the_most_overdue_go_first_and_only_so_many() -> None:
    alice = peer(profile=INTEROP)
    names = [f"w{number}" for number in range(8)]
    alice.unwrap(message("m", 5, names), NOW_S)
    by_time = sorted(names, key=lambda name: request_wait_ms("alice", name, 30_000, 120_000))
    assert asked(alice.wrap(CHANNEL, b"x", NOW_S + 120)) == by_time[:3]
    assert asked(alice.wrap_sync(CHANNEL, NOW_S + 120)) == by_time[3:6]


@pytest.mark.parametrize("profile", [AGAIN_NEVER, INTEROP])
def test_somebody_elses_request_is_as_good_as_ours(profile: Profile) -> None:
    alice = peer(profile=profile)
    alice.unwrap(message("m", 5, ["wanted"]), NOW_S)
    alice.unwrap(message("n", 6, asks_for=[WANTED], sender="carol"), NOW_S + 1)
    assert asked(alice.wrap(CHANNEL, b"x", NOW_S + 30)) == []
    later = asked(alice.wrap(CHANNEL, b"x", NOW_S + 300))
    assert later == ([] if profile is AGAIN_NEVER else ["wanted"])


def test_who_asks_only_once_does_not_wait_for_ever() -> None:
    alice = peer(profile=AGAIN_NEVER)
    alice.unwrap(message("s", 5, ["wanted"], content=b""), NOW_S)
    assert asked(alice.wrap(CHANNEL, b"x", NOW_S + 200)) == ["wanted"]
    assert alice.status(CHANNEL).missing == 1
    assert asked(alice.wrap(CHANNEL, b"x", NOW_S + 700)) == []
    assert (alice.status(CHANNEL).missing, alice.status(CHANNEL).lost) == (0, 1)


def test_what_arrives_is_not_asked_for() -> None:
    alice = peer()
    alice.unwrap(message("m", 5, ["wanted"]), NOW_S)
    assert alice.status(CHANNEL).repair_requests == 1
    alice.unwrap(message("wanted", 1), NOW_S + 0.01)
    assert alice.status(CHANNEL).repair_requests == 0


def test_what_is_here_and_waits_itself_is_not_asked_for() -> None:
    alice = peer()
    alice.unwrap(message("b", 5, ["a"]), NOW_S)
    alice.unwrap(message("c", 6, ["b"]), NOW_S)
    assert [entry.message_id for entry in alice.missing(CHANNEL)] == ["a"]
    assert alice.status(CHANNEL).repair_requests == 1


def after_acknowledgements(taking_s: float, profile: Profile = LAN) -> SyncPeer:
    """A participant whose messages were acknowledged ``taking_s`` after they were sent."""
    alice = peer(profile=profile)
    for number in range(80):
        alice.wrap(CHANNEL, b"x", NOW_S + number, f"mine{number}")
        alice.unwrap(message(f"ack{number}", 5, [f"mine{number}"], content=b""), NOW_S + number + taking_s)
    return alice


def test_measured_round_trips_stretch_the_waits() -> None:
    assert after_acknowledgements(LAN.sync_s)._channels[CHANNEL].repair.max_s == LAN.repair_max_s
    slow = after_acknowledgements(LAN.sync_s / 2 + 1.5)
    assert slow._channels[CHANNEL].repair.max_s == pytest.approx(1.5, abs=0.01)
    start = NOW_S + 10_000
    slow.unwrap(message("late", 5, [f"wanted{number}" for number in range(40)]), start)
    requests = [(at, asked(packet.data)) for at, packet in advance(slow, start + 60)]
    first = {name: at - start for at, names in reversed(requests) for name in names}
    assert min(first.values()) < 0.5
    assert 1.2 < max(first.values()) <= 1.6
    again = sorted(at for at, names in requests if "wanted0" in names)
    assert again[1] - again[0] >= 1.5
    endless = after_acknowledgements(90.0, LAN.replaced(resend_s=100.0, resend_max_s=100.0))
    assert endless._channels[CHANNEL].repair.max_s == 8 * LAN.repair_max_s


def test_a_profile_that_does_not_adapt_keeps_its_times() -> None:
    rigid = LAN.replaced(adaptive=False)
    assert after_acknowledgements(2.0, rigid)._channels[CHANNEL].repair.max_s == LAN.repair_max_s


def test_requests_are_bounded_and_the_rest_is_asked_for_when_there_is_room() -> None:
    alice = peer(profile=LAN.replaced(repair_buffer=10))
    names = [f"w{number}" for number in range(40)]
    alice.unwrap(message("m", 50, names), NOW_S)
    asked_for: set[str] = set()
    now = NOW_S
    for turn in range(10):
        assert alice.status(CHANNEL).repair_requests <= 10
        for _, packet in advance(alice, now := now + 1):
            asked_for |= set(asked(packet.data))
        for name in sorted(asked_for):
            alice.unwrap(message(name, 1), now)
        alice.handle_timer(now)
        assert turn < 9
        if asked_for == set(names):
            break
    assert alice.status(CHANNEL).state == "synced"


def test_without_an_id_there_is_no_repair() -> None:
    nobody = peer("")
    nobody.unwrap(message("m", 5, ["wanted"]), NOW_S)
    nobody.unwrap(message("w", 5), NOW_S)
    nobody.unwrap(message("n", 6, asks_for=[HistoryEntry("w", b"", "bob")]), NOW_S)
    status = nobody.status(CHANNEL)
    assert (status.missing, status.repair_requests, status.repair_responses) == (1, 0, 0)
    nobody.unwrap(message("s", 7, ["another"], content=b""), NOW_S)
    assert nobody.status(CHANNEL).missing == 1
    assert decode(nobody.wrap(CHANNEL, b"x", NOW_S)).sender_id == ""


# answering


def test_a_request_is_answered_after_its_time_with_the_message_as_it_was() -> None:
    alice = peer()
    unknown_field = b"\xfa\x01\x03new"
    original = message("wanted", 1) + unknown_field
    alice.unwrap(original, NOW_S)
    alice.unwrap(message("n", 6, asks_for=[WANTED], sender="carol"), NOW_S)
    wait = response_wait_ms("alice", "bob", "wanted", 500) / 1000
    repairs = [(at, packet.data) for at, packet in advance(alice, NOW_S + 1) if packet.kind == "repair"]
    ((at, data),) = repairs
    assert (round(at - NOW_S, 3), data) == (wait, original)
    assert RepairReady(CHANNEL, "wanted") in alice.events()
    assert alice.status(CHANNEL).repair_responses == 0


def test_the_sender_answers_at_once() -> None:
    alice = peer()
    data = alice.wrap(CHANNEL, b"x", NOW_S, "mine")
    alice.unwrap(message("n", 6, asks_for=[HistoryEntry("mine", b"", "alice")], sender="carol"), NOW_S)
    assert [(at, packet.data) for at, packet in advance(alice, NOW_S) if packet.kind == "repair"] == [(NOW_S, data)]


def test_somebody_elses_answer_is_as_good_as_ours() -> None:
    alice = peer()
    alice.unwrap(message("wanted", 1), NOW_S)
    alice.unwrap(message("n", 6, asks_for=[WANTED], sender="carol"), NOW_S)
    assert alice.status(CHANNEL).repair_responses == 1
    assert alice.unwrap(message("wanted", 1), NOW_S).duplicate
    assert alice.status(CHANNEL).repair_responses == 0


def test_a_request_that_names_no_sender_is_answered_by_what_we_know() -> None:
    alice = peer()
    alice.unwrap(message("wanted", 1), NOW_S)
    alice.unwrap(message("n", 6, asks_for=[HistoryEntry("wanted")], sender="carol"), NOW_S)
    assert alice.status(CHANNEL).repair_responses == 1


def test_only_the_group_answers() -> None:
    answering = 0
    for number in range(60):
        one = peer(f"p{number}", LAN.replaced(repair_groups=4))
        one.unwrap(message("wanted", 1), NOW_S)
        one.unwrap(message("n", 6, asks_for=[WANTED], sender="carol"), NOW_S)
        answering += one.status(CHANNEL).repair_responses
    assert 5 < answering < 30


def test_answers_are_bounded() -> None:
    repair = Repair("alice", LAN.replaced(repair_buffer=5))
    taken = [repair.asked(HistoryEntry(f"m{number}", b"", "bob"), NOW_S) for number in range(9)]
    assert taken == [True] * 5 + [False] * 4
    assert not repair.asked(HistoryEntry("m0", b"", "bob"), NOW_S)


def test_what_went_meanwhile_is_not_answered() -> None:
    alice = peer(profile=LAN.replaced(history_max=2))
    alice.unwrap(message("wanted", 1), NOW_S)
    alice.unwrap(message("n", 6, asks_for=[WANTED], sender="carol"), NOW_S)
    for number in range(2):
        alice.unwrap(message(f"m{number}", 7), NOW_S)
    assert [packet for _, packet in advance(alice, NOW_S + 1) if packet.kind == "repair"] == []


def test_two_peers_repair_each_other() -> None:
    alice, bob = peer(), peer("bob")
    lost = [alice.wrap(CHANNEL, b"x", NOW_S + n / 1000, f"m{n}") for n in range(30)]
    bob.unwrap(alice.wrap(CHANNEL, b"x", NOW_S + 1, "heard"), NOW_S + 1)
    assert len(lost) == 30
    now = NOW_S + 1.0
    for _ in range(400):
        now += 0.05
        for one, other in ((alice, bob), (bob, alice)):
            for _, packet in advance(one, now):
                other.unwrap(packet.data, now)
    assert [m.message_id for m in bob.log(CHANNEL)] == [m.message_id for m in alice.log(CHANNEL)]
    assert bob.status(CHANNEL).state == "synced"
    assert alice.status(CHANNEL).outgoing == 0
