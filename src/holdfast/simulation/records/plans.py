"""What one seed draws for a world of record streams: the items, the two ends' pace, and what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from ...records.streaming.policy import Retry

Kind = Literal["push", "pull", "delete"]


@dataclass(frozen=True)
class RecordPlan:
    """One client, its input and its consumer, and a server with its faults until ``healed_s``."""

    kind: Kind
    sizes: tuple[int, ...]
    """Bytes of each item's body; a negative one is no item and refused by the client."""
    answer_bytes: int
    """Most that an answer has."""
    ordered: bool
    items_max: int
    bytes_max: int
    retry: Retry | None
    breaker_failures: int
    """0: no breaker."""
    deadline_s: float | None
    answer_s: float
    input_s: float
    """Mean time between inputs."""
    consume_s: float
    """Mean time the consumer takes for a result."""
    leaves_after: int | None
    """Results after which the consumer goes away."""
    round_trip_s: float
    service_s: float
    server_ordered: bool
    server_items: int
    """What the server holds of a stream before it reads no more."""
    permanent: float
    """Chance that an item cannot be done."""
    transient: float
    """Chance that it cannot be done this time."""
    poison: frozenset[int] = field(default_factory=frozenset)
    """Items that break the stream each time."""
    cut_every_s: float | None = None
    mute: float = 0.0
    """Chance that a server that goes wrong says nothing, instead of breaking the stream."""
    down_s: float = 0.0
    healed_s: float = 0.0


def draw_plan(seed: int) -> RecordPlan:
    """The plan of ``seed``."""
    chance = random.Random(seed)
    count = chance.choice((0, 1, 2, chance.randrange(3, 40), chance.randrange(40, 300)))
    bytes_max = chance.choice((200, 1_000, 5_000))
    troubled = chance.random() < 0.7
    retry = None
    if chance.random() < 0.75:
        retry = Retry(attempts=chance.randrange(1, 6), first_s=0.05, last_s=chance.choice((0.5, 2.0)), patience_s=60.0)
    return RecordPlan(
        kind=chance.choice(("push", "pull", "delete")),
        sizes=tuple(_size(chance, bytes_max) for _ in range(count)),
        answer_bytes=chance.choice((0, 40, bytes_max)),
        ordered=chance.random() < 0.6,
        items_max=chance.choice((1, 2, 7, 64)),
        bytes_max=bytes_max,
        retry=retry,
        breaker_failures=chance.choice((0, 0, 1, 3)),
        deadline_s=chance.uniform(0.01, 20.0) if chance.random() < 0.15 else None,
        answer_s=chance.choice((1.0, 5.0)),
        input_s=chance.choice((0.0, 0.001, 0.05)),
        consume_s=chance.choice((0.0, 0.0, 0.001, 0.1)),
        leaves_after=chance.randrange(count + 1) if chance.random() < 0.15 else None,
        round_trip_s=chance.choice((0.0001, 0.02, 0.2)),
        service_s=chance.choice((0.00001, 0.001, 0.02)),
        server_ordered=chance.random() < 0.5,
        server_items=chance.choice((1, 8, 64)),
        permanent=chance.choice((0.0, 0.0, 0.01, 0.3, 1.0)),
        transient=chance.choice((0.0, 0.05, 0.5)) if troubled else 0.0,
        poison=frozenset(chance.sample(range(count), min(count, chance.choice((0, 0, 1, 2)))))
        if troubled
        else frozenset(),
        cut_every_s=chance.choice((0.02, 0.3, 3.0)) if troubled and chance.random() < 0.7 else None,
        mute=chance.choice((0.0, 0.3)),
        down_s=chance.choice((0.0, 0.1, 3.0)),
        healed_s=chance.choice((1.0, 10.0)),
    )


def _size(chance: random.Random, bytes_max: int) -> int:
    draw = chance.random()
    if draw < 0.03:
        return -1
    if draw < 0.06:
        return chance.randrange(bytes_max // 2, 2 * bytes_max)
    return chance.randrange(60)
