from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.nats.chain import Chain, Flight, Message


class Stream:
    """A stream as the servers keep it: takes a message if it names the last one."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def receive(self, sequence: int, message: Message) -> bool:
        if sequence - 1 != len(self.messages):
            return False
        self.messages.append(message.stamp)
        return True


def flight(chain: Chain, number: int, parts: int) -> Flight:
    return Flight(chain.next_sequence, number, [Message("s", f"{number}.{part}", b"x") for part in range(parts)])


def sent(one: Flight) -> list[tuple[int, Message]]:
    return [(one.first + number, message) for number, message in enumerate(one.messages)]


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), max_size=30), st.randoms())
def test_all_is_stored_once_and_in_order_whatever_is_lost(steps: list[tuple[int, bool, bool]], random: object) -> None:
    """Messages and answers get lost from any place on, as they do when a connection breaks; the rest is sent again."""
    chain, stream = Chain(0), Stream()
    done: list[int] = []
    want: list[str] = []
    for number, (parts, breaks, deaf) in enumerate(steps):
        one = flight(chain, number, parts)
        chain.add(one)
        want += [message.stamp for message in one.messages]
        through = sent(one)[: len(one.messages) // 2] if breaks else sent(one)
        for sequence, message in through:
            if stream.receive(sequence, message) and not deaf:
                done += [settled.number for settled in chain.receive_stored(sequence)]
        if breaks:
            done += [settled.number for settled in chain.receive_stored(len(stream.messages))]
            for sequence, message in chain.resend():
                if stream.receive(sequence, message):
                    done += [settled.number for settled in chain.receive_stored(sequence)]
    done += [settled.number for settled in chain.receive_stored(len(stream.messages))]
    for sequence, message in chain.resend():
        assert stream.receive(sequence, message)
        done += [settled.number for settled in chain.receive_stored(sequence)]
    assert stream.messages == want
    assert done == list(range(len(steps)))
    assert not chain.flights and chain.size == 0


def test_sequences_are_known_beforehand() -> None:
    chain = Chain(41)
    first = flight(chain, 1, 2)
    chain.add(first)
    second = flight(chain, 2, 1)
    chain.add(second)
    assert (first.first, first.last, second.first) == (42, 43, 44)
    assert chain.holding(43) is first and chain.holding(44) is second and chain.holding(45) is None
    assert chain.receive_stored(42) == []
    assert [sequence for sequence, _ in chain.resend()] == [43, 44]
    assert chain.receive_stored(44) == [first, second]
    assert chain.settled == 44


def test_what_is_given_up_was_never_there() -> None:
    chain = Chain(0)
    for number in range(3):
        chain.add(flight(chain, number, 2))
    chain.receive_stored(3)
    before = chain.round
    assert [one.number for one in chain.give_up()] == [1, 2]
    assert (chain.next_sequence, chain.size, chain.round) == (4, 0, before + 1)
