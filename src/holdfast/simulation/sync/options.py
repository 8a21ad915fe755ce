"""What a simulated group is put through: chosen by options, or drawn from a seed."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from ...errors import UsageError
from ...sync.model import Dialect
from ...sync.profiles import PROFILES

DIALECTS: tuple[Dialect, ...] = ("spec", "nim")
_LOSS_MAX = 0.9
"""More loss than this only shows how patient the user is."""


class SyncOptions(NamedTuple):
    """The options of ``holdfast sim sync``, in seconds, bytes and shares."""

    peers: int = 20
    messages: int = 1_000
    size_bytes: int = 100
    """Content of one message."""
    over_s: float = 60.0
    """The messages are sent within this time, by peers and at moments drawn from the seed."""
    delay_s: float = 0.01
    """One way."""
    skew_s: float = 0.01
    """Each copy takes up to this much less or more: messages overtake each other."""
    loss: float = 0.0
    """Share of copies that never arrive."""
    duplicate: float = 0.0
    """Share of copies that arrive twice."""
    partition_s: float = 0.0
    """Half way the peers fall into two parts that hear nothing of each other, for this long; 0: never."""
    one_way: bool = False
    """One of the parts hears the other all the while."""
    crashes: int = 0
    """Peers that die in the middle of an operation, and come back from what they had stored."""
    down_s: float = 5.0
    """How long they are away at most."""
    write_errors: float = 0.0
    """Share of writes that fail at peers that will crash; they are stored with a later one."""
    clock_skew_s: float = 0.0
    """Wall clocks are up to this far ahead or behind, and jump by as much now and then."""
    profiles: tuple[str, ...] = ("lan",)
    """Peers have these in turn."""
    dialect: Dialect = "spec"
    seed: int = 0


def check_options(options: SyncOptions) -> SyncOptions:
    """``options`` itself; UsageError naming the option that makes no sense."""
    _require(2 <= options.peers <= 1_000, "peers", f"{options.peers} is not within 2 and 1000")
    _require(1 <= options.messages <= 1_000_000, "messages", f"{options.messages} is not within 1 and 1000000")
    _require(1 <= options.size_bytes <= 1 << 20, "size", f"{options.size_bytes} bytes are not within 1 B and 1 MiB")
    _require(0 <= options.loss <= _LOSS_MAX, "loss", f"{options.loss:g} is not a share from 0 to {_LOSS_MAX}")
    _require(0 <= options.duplicate <= 1, "duplicate", f"{options.duplicate:g} is not a share from 0 to 1")
    _require(0 <= options.crashes <= 1_000, "crashes", f"{options.crashes} is not within 0 and 1000")
    for name in ("over_s", "delay_s", "skew_s", "partition_s", "down_s", "clock_skew_s"):
        value = getattr(options, name)
        _require(0 <= value < 1e6, name.removesuffix("_s").replace("_", "-"), f"{value:g} s is negative, or too long")
    _require(options.dialect in DIALECTS, "dialect", f"{options.dialect!r} is none of {', '.join(DIALECTS)}")
    for name in options.profiles:
        _require(name in PROFILES, "profile", f"{name!r} is none of {', '.join(PROFILES)}")
    return options


def _require(condition: bool, option: str, trouble: str) -> None:
    if not condition:
        raise UsageError(f"--{option}: {trouble}", field=option)


def replay_command(options: SyncOptions) -> str:
    """The command that runs this world again."""
    defaults = SyncOptions()
    words = ["holdfast sim sync"]
    for name, value in options._asdict().items():
        if value == getattr(defaults, name) and name != "seed":
            continue
        flag = f"--{name.removesuffix('_s').removesuffix('_bytes').replace('_', '-')}"
        if name == "profiles":
            words += [f"--profile {each}" for each in value]
        elif name == "one_way":
            words.append("--one-way")
        else:
            words.append(f"{flag} {value}")
    return " ".join(words)


HARD = SyncOptions(
    loss=0.3, duplicate=0.1, skew_s=0.01, partition_s=30.0, crashes=3, clock_skew_s=30.0, write_errors=0.05
)
"""The world of the figures: 20 peers, 1,000 messages, and everything that can go wrong."""


def draw_options(seed: int) -> SyncOptions:
    """The small world of ``seed``: few peers and messages, and any mixture of troubles."""
    random = Random(seed)
    peers = random.choice((2, 3, 3, 4, 5, 7))
    delay_s = random.choice((0.0, 0.001, 0.02, 0.2))
    return SyncOptions(
        peers=peers,
        messages=random.choice((5, 20, 40, 60)),
        size_bytes=random.choice((1, 30, 300)),
        over_s=random.choice((0.5, 5.0, 20.0)),
        delay_s=delay_s,
        skew_s=delay_s * random.choice((0.0, 0.5, 1.0)),
        loss=random.choice((0.0, 0.1, 0.3, 0.5)),
        duplicate=random.choice((0.0, 0.1, 0.5)),
        partition_s=random.choice((0.0, 0.0, 2.0, 30.0)),
        one_way=random.random() < 0.3,
        crashes=random.choice((0, 0, 1, 3)),
        down_s=random.choice((0.1, 5.0, 40.0)),
        write_errors=random.choice((0.0, 0.0, 0.3)),
        clock_skew_s=random.choice((0.0, 0.0, 2.0, 100.0)),
        profiles=random.choice((("lan",), ("wan",), ("lan", "wan"))),
        dialect=random.choice(DIALECTS),
        seed=seed,
    )
