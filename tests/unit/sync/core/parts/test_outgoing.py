"""Messages of ours that wait to be acknowledged."""

from __future__ import annotations

from holdfast.sync.core.parts.history import Record
from holdfast.sync.core.parts.outgoing import Outgoing, Sent
from holdfast.sync.profiles import LAN
from holdfast.sync.wire.bloom import signed_hashes

PROFILE = LAN.replaced(resend_s=1.0, resend_max_s=4.0, resend_attempts=2, adaptive=False)


def sent(number: int, at: float = 0.0) -> Sent:
    name = f"m{number}"
    return Sent(Record(name, number, "alice", b"", b"", signed_hashes(name), number), at)


def filled(count: int) -> Outgoing:
    outgoing = Outgoing(PROFILE)
    for number in range(1, count + 1):
        outgoing.add(sent(number))
    return outgoing


def test_each_is_acknowledged_once() -> None:
    outgoing = filled(3)
    assert outgoing.acknowledge("m2", 0.5)
    assert not outgoing.acknowledge("m2", 0.5)
    assert not outgoing.acknowledge("unknown", 0.5)
    assert outgoing.acknowledge_until(3, 0.5) == ["m1", "m3"]
    assert outgoing.acknowledge_until(3, 0.5) == []
    assert outgoing.next_deadline() is None


def test_what_is_due_is_resent_and_then_given_up() -> None:
    outgoing = filled(2)
    assert outgoing.take_due(0.99) == ([], [])
    resend, given_up = outgoing.take_due(1.0)
    assert [one.record.message_id for one in resend] == ["m1", "m2"] and given_up == []
    outgoing.acknowledge("m1", 1.5)
    assert outgoing.next_deadline() == 3.0
    assert [one.attempts for one in outgoing.take_due(3.0)[0]] == [2]
    resend, given_up = outgoing.take_due(7.0)
    assert resend == [] and [one.record.message_id for one in given_up] == ["m2"]
    assert outgoing.items == {}


def test_what_was_acknowledged_leaves_nothing_behind() -> None:
    outgoing = Outgoing(PROFILE)
    for number in range(1, 5_000):
        outgoing.add(sent(number))
        outgoing.acknowledge(f"m{number}", 0.0)
        assert len(outgoing._order) < 200 and len(outgoing._review) < 200
    assert outgoing.next_deadline() is None
