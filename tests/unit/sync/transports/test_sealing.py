from __future__ import annotations

from hashlib import blake2b

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.limits import LIMITS
from holdfast.sync.transports.sealing import Sealer

KEY, SALT, OTHER = b"k" * 32, b"s" * 16, b"o" * 16


def sealer(salt: bytes = SALT, key: bytes = KEY) -> Sealer:
    return Sealer(key, salt, LIMITS)


def test_the_bytes_are_as_documented() -> None:
    sealed = sealer().seal(b"hello")
    head, number = sealed[:28], (1).to_bytes(8, "big")
    assert head == b"HS\x01\x02" + SALT + number
    key = blake2b(SALT, digest_size=32, key=KEY, person=b"holdfast group").digest()
    assert ChaCha20Poly1305(key).decrypt(bytes(4) + number, sealed[28:], head) == b"hello"
    assert len(sealed) == len(b"hello") + Sealer.overhead_bytes == 49


@given(st.binary(max_size=2_000))
def test_what_is_sealed_is_opened_by_those_with_the_key_and_by_nobody_else(data: bytes) -> None:
    sealed = sealer().seal(data)
    assert sealer(OTHER).open(sealed) == data
    stranger = sealer(OTHER, b"x" * 32)
    assert stranger.open(sealed) is None
    assert stranger.unverified == 1


@given(st.integers(0, 48), st.integers(1, 255))
def test_a_datagram_changed_anywhere_is_refused(place: int, by: int) -> None:
    sealed = bytearray(sealer().seal(b"hello"))
    sealed[place] ^= by
    receiver = sealer(OTHER)
    assert receiver.open(bytes(sealed)) is None
    assert receiver.unverified == 1
    assert not receiver._sessions


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda data: b"HS\x01\x02" + data))
def test_whatever_arrives_nothing_is_raised_or_remembered(data: bytes) -> None:
    receiver = sealer()
    assert receiver.open(data) is None
    assert not receiver._sessions


def test_what_is_not_sealed_is_refused() -> None:
    receiver = sealer()
    assert receiver.open(b"HS\x01\0hello") is None
    assert receiver.unverified == 1


def test_our_own_come_back_uncounted() -> None:
    one = sealer()
    assert one.open(one.seal(b"hello")) is None
    assert one.unverified == 0


@given(st.permutations(range(40)), st.lists(st.integers(0, 39), max_size=40))
def test_each_is_taken_once_in_whatever_order(order: list[int], again: list[int]) -> None:
    sender, receiver = sealer(), sealer(OTHER)
    sealed = [sender.seal(bytes([number])) for number in range(40)]
    assert [receiver.open(sealed[number]) for number in order] == [bytes([number]) for number in order]
    assert [receiver.open(sealed[number]) for number in again] == [None] * len(again)
    assert receiver.unverified == len(again)


def test_what_comes_much_too_late_is_refused() -> None:
    sender, receiver = sealer(), sealer(OTHER)
    late, too_late, *rest = [sender.seal(b"x") for _ in range(4_098)]
    assert receiver.open(rest[-1]) == b"x"
    assert receiver.open(late) is None
    assert receiver.open(too_late) is None
    assert receiver.open(rest[0]) == b"x"
    jumped = sealer(b"j" * 16)
    jumped._number = 2**63
    assert receiver.open(jumped.seal(b"far")) == b"far"
    assert max(session.seen.bit_length() for session in receiver._sessions.values()) <= 4_096


def test_the_salt_not_heard_of_for_longest_is_forgotten() -> None:
    receiver = Sealer(KEY, SALT, LIMITS._replace(group_salts_max=3))
    for number in range(5):
        assert receiver.open(sealer(bytes([number]) * 16).seal(b"x")) == b"x"
    assert [salt[0] for salt in receiver._sessions] == [2, 3, 4]


def test_no_key_is_no_key() -> None:
    for key in (b"", b"short", b"x" * 33):
        with pytest.raises(UsageError, match="key: must be 32 bytes"):
            sealer(key=key)
