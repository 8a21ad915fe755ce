from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import LimitExceeded, UsageError
from holdfast.limits import LIMITS
from holdfast.sync.transports.segments import Reassembler, check_datagram_bytes, segment

SMALL = LIMITS._replace(
    group_wire_bytes_max=4000, group_parts_bytes_max=8000, group_parts_messages_max=3, group_parts_s=10.0
)


def test_a_message_that_fits_is_one_datagram() -> None:
    (datagram,) = segment(b"hello", 100)
    assert datagram == b"HS\x01\x00hello"
    assert Reassembler().receive("a", datagram, 0.0) == b"hello"


def test_the_bytes_of_parts_are_as_documented() -> None:
    first, second = segment(bytes(range(70)), 64)
    assert first == b"HS\x01\x01" + first[4:12] + b"\x00\x00\x00\x02" + bytes(range(48))
    assert second == b"HS\x01\x01" + first[4:12] + b"\x00\x01\x00\x02" + bytes(range(48, 70))


@given(st.binary(max_size=3000), st.integers(64, 500), st.randoms(use_true_random=False))
def test_parts_in_any_order_and_number_become_the_message(message: bytes, size: int, random: Random) -> None:
    datagrams = segment(message, size)
    assert all(len(datagram) <= size for datagram in datagrams)
    repeated = random.sample(datagrams, min(2, len(datagrams)))
    last = datagrams.pop(random.randrange(len(datagrams)))
    mixed = datagrams + [again for again in repeated if again != last]
    random.shuffle(mixed)
    reassembler = Reassembler()
    for datagram in mixed:
        reassembler.receive("a", datagram, 0.0)
    assert reassembler.receive("a", last, 0.0) == message
    assert len(reassembler) == 0
    assert reassembler.held_bytes == 0
    assert reassembler.malformed == 0


def test_a_second_sending_fills_the_holes_of_the_first() -> None:
    reassembler, datagrams = Reassembler(), segment(bytes(1000) + b"x", 200)
    assert all(reassembler.receive("a", datagram, 0.0) is None for datagram in datagrams[::2])
    got = [reassembler.receive("a", datagram, 1.0) for datagram in datagrams[1::2]]
    assert [message for message in got if message] == [bytes(1000) + b"x"]


def test_parts_of_different_senders_do_not_mix() -> None:
    reassembler, (first, second) = Reassembler(), segment(bytes(100), 100)
    assert reassembler.receive("a", first, 0.0) is None
    assert reassembler.receive("b", second, 0.0) is None
    assert reassembler.receive("a", second, 0.0) == bytes(100)


def test_what_stays_unfinished_goes_after_a_time() -> None:
    reassembler, (first, second) = Reassembler(SMALL), segment(bytes(100), 100)
    reassembler.receive("a", first, 0.0)
    assert reassembler.receive("a", second, 10.0) is None
    assert reassembler.given_up == 1
    assert len(reassembler) == 1


def test_the_one_waiting_longest_makes_room() -> None:
    reassembler = Reassembler(SMALL)
    messages = [segment(bytes([number]) * 100, 100) for number in range(4)]
    for first, _ in messages:
        reassembler.receive("a", first, 0.0)
    assert len(reassembler) == 3
    assert reassembler.receive("a", messages[0][1], 0.0) is None
    assert reassembler.receive("a", messages[3][1], 0.0) == bytes([3]) * 100


def test_a_part_that_contradicts_another_is_refused() -> None:
    reassembler, (first, second) = Reassembler(), segment(bytes(100), 100)
    reassembler.receive("a", first, 0.0)
    assert reassembler.receive("a", first[:-1] + b"!", 0.0) is None
    assert reassembler.receive("a", first[:14] + b"\x00\x03" + first[16:], 0.0) is None
    assert reassembler.malformed == 2
    assert reassembler.receive("a", second, 0.0) == bytes(100)


def test_a_message_that_is_not_what_its_digest_says_is_refused() -> None:
    reassembler, (first, second) = Reassembler(), segment(bytes(100), 100)
    reassembler.receive("a", first[:-1] + b"!", 0.0)
    assert reassembler.receive("a", second, 0.0) is None
    assert reassembler.malformed == 1
    assert len(reassembler) == 0


@given(st.lists(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: b"HS\x01\x01" + rest), max_size=60))
def test_whatever_arrives_nothing_is_raised_and_memory_is_bounded(datagrams: list[bytes]) -> None:
    reassembler = Reassembler(SMALL)
    for number, datagram in enumerate(datagrams):
        reassembler.receive("a", datagram, float(number))
        assert len(reassembler) <= SMALL.group_parts_messages_max
        assert reassembler.held_bytes <= SMALL.group_parts_bytes_max


def test_a_flood_of_tiny_parts_costs_bounded_memory() -> None:
    reassembler = Reassembler(SMALL)
    for number in range(5000):
        head = b"HS\x01\x01" + b"digest!!" + number.to_bytes(2, "big") + b"\xff\xff"
        reassembler.receive("a", head + b"x", 0.0)
        assert reassembler.held_bytes <= SMALL.group_parts_bytes_max


@pytest.mark.parametrize("count", [2, 60_000])
def test_a_message_too_large_is_refused_by_its_first_part_or_in_the_end(count: int) -> None:
    reassembler = Reassembler(SMALL)
    for number in range(30):
        head = b"HS\x01\x01" + b"digest!!" + number.to_bytes(2, "big") + count.to_bytes(2, "big")
        reassembler.receive("a", head + bytes(1000), 0.0)
    assert reassembler.malformed == 30 if count > 2 else 28
    assert reassembler.held_bytes <= SMALL.group_parts_bytes_max


def test_limits_name_themselves() -> None:
    with pytest.raises(LimitExceeded, match="group_message_parts"):
        segment(bytes(48 * 65_536), 64)
    with pytest.raises(UsageError, match="datagram_bytes"):
        check_datagram_bytes(10)
    with pytest.raises(UsageError, match="65507"):
        check_datagram_bytes(70_000)
