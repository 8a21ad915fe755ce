"""The judge of a simulated group: knows who knew what when, and what each peer has been given.

Every message gets the vector of what its sender had then: how many messages of each peer.  Messages of one peer follow
each other, so the vectors say exactly what must come before what; no word of the protocol is taken for it.
"""

from __future__ import annotations

from typing import NamedTuple

from ...sync.model import Message


class Sent(NamedTuple):
    """One message, as the judge knows it."""

    message_id: str
    sender: int
    place: int
    """Its number among its sender's messages, from 0."""
    needs: tuple[int, ...]
    """How many messages of each peer come before it."""
    content: bytes
    moment_s: float


class Judge:
    """Watches all peers.  Raises AssertionError for a message that is lost, doubled, changed or out of order."""

    def __init__(self, peers: int) -> None:
        self.sent: dict[str, Sent] = {}
        self._has = [[0] * peers for _ in range(peers)]
        self._given: list[dict[str, int]] = [{} for _ in range(peers)]
        self._lamport: dict[str, int] = {}
        self._order: list[str] = []
        self.content_bytes = 0
        """Of all messages sent."""
        self.deliveries = 0
        """Messages given to peers that did not send them."""

    @property
    def expected(self) -> int:
        """Deliveries when everybody has everything."""
        return len(self.sent) * (len(self._has) - 1)

    @property
    def converged(self) -> bool:
        """Everybody has everything."""
        return self.deliveries == self.expected

    def note_sent(self, peer: int, message_id: str, content: bytes, moment_s: float) -> None:
        """``peer`` sends a message, knowing what it was given so far."""
        assert message_id not in self.sent, f"{message_id} was sent twice"
        has = self._has[peer]
        self.sent[message_id] = Sent(message_id, peer, has[peer], tuple(has), content, moment_s)
        has[peer] += 1
        self.content_bytes += len(content)

    def note_delivered(self, peer: int, message_id: str, lamport: int, content: bytes) -> None:
        """``peer`` was given a message."""
        message = self.sent.get(message_id)
        assert message is not None, f"peer {peer} was given {message_id}, which nobody sent"
        assert message.sender != peer, f"peer {peer} was given its own {message_id}"
        given = self._given[peer]
        assert message_id not in given, f"peer {peer} was given {message_id} twice"
        assert content == message.content, f"peer {peer} was given {message_id} with another content"
        assert self._lamport.setdefault(message_id, lamport) == lamport, f"{message_id} has two Lamport times"
        has = self._has[peer]
        for other, (needed, had) in enumerate(zip(message.needs, has, strict=True)):
            assert needed <= had, (
                f"peer {peer} was given {message_id} of peer {message.sender} before {needed - had} messages "
                f"of peer {other} that came before it"
            )
        given[message_id] = lamport
        has[message.sender] += 1
        self.deliveries += 1

    def knows(self, peer: int, message_id: str) -> bool:
        """Whether ``peer`` was given the message, or sent it."""
        message = self.sent.get(message_id)
        return message_id in self._given[peer] or (message is not None and message.sender == peer)

    def check_log(self, peer: int, log: list[Message], history_max: int) -> None:
        """The history that ``peer`` shows is the same as everybody's, whole, in causal order, and what it was given.

        Of more messages than ``history_max`` so many are there, and everybody chooses for itself which.
        """
        order = [(message.lamport or 0, message.message_id) for message in log]
        assert order == sorted(order), f"the log of peer {peer} is out of order"
        for message in log:
            message_id, sent = message.message_id, self.sent.get(message.message_id)
            assert sent is not None, f"peer {peer} has {message_id} in its log, which nobody sent"
            assert self.knows(peer, message_id), f"peer {peer} has {message_id} in its log and was never given it"
            assert message.content == sent.content, f"peer {peer} has {message_id} in its log with another content"
            lamport = message.lamport or 0
            assert self._lamport.setdefault(message_id, lamport) == lamport, f"{message_id} has two Lamport times"
        names = [name for _, name in order]
        assert len(set(names)) == len(names), f"peer {peer} has a message twice in its log"
        kept, whole = len(names), min(len(self.sent), history_max)
        assert kept == whole, f"peer {peer} has {kept} messages in its log, not {whole}"
        if kept == len(self.sent):
            self._check_order(peer, names)

    def _check_order(self, peer: int, names: list[str]) -> None:
        """A whole log is that of the first peer whose log was whole, and that keeps to the order of causes."""
        if names == self._order:
            return
        assert not self._order, f"the log of peer {peer} is in another order than that of others"
        has = [0] * len(self._has)
        for name in names:
            sent = self.sent[name]
            early = any(needed > had for needed, had in zip(sent.needs, has, strict=True))
            assert not early, f"{name} comes before its causes in the log of peer {peer}"
            has[sent.sender] += 1
        self._order = names

    def missing(self) -> str:
        """Who misses how many."""
        lacks = {peer: len(self.sent) - sum(has) for peer, has in enumerate(self._has)}
        return ", ".join(f"peer {peer} misses {count}" for peer, count in lacks.items() if count)
