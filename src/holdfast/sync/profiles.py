"""Sets of timers and sizes: ``lan``, ``wan`` and ``interop``, each value of which can be replaced."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import UsageError


class Profile(NamedTuple):
    """How a participant behaves; all of a group should use the same.  Replace values with :meth:`replaced`."""

    name: str

    # what is kept
    history_max: int = 1_000
    """Messages kept, the oldest go first; what is gone can no longer be repaired or recognised as a repetition."""
    history_bytes_max: int = 64 * 1024 * 1024
    """The same in bytes on the wire; the newest message stays, however large."""
    causal_entries: int = 4
    """History entries in a content message."""
    causal_heads: int = 64
    """Messages that no other refers to yet are among them, this many at most: then whoever has what a message refers to
    has all before it.  0: just the newest."""
    causal_acks: bool = True
    """Whoever refers to a message of ours has all of ours before it, as where everybody's messages refer to heads;
    without, only what is referred to is acknowledged."""

    # acknowledgement
    bloom_capacity: int = 512
    """Messages the filter is made for at most."""
    bloom_error_rate: float = 0.01
    """How often a filter errs."""
    bloom_adaptive: bool = True
    """The filter is sized by what it holds; without, always by ``bloom_capacity``, as the other implementations do."""
    bloom_every: int = 16
    """Content messages from one with a filter to the next; more where the filter is large.  Sync messages always have
    it.  1: every message."""
    possible_acks: int = 2
    """Filters that must have a message for it to count as acknowledged."""
    resend_s: float = 2.0
    """A message nobody acknowledged is sent again after this long; doubled each time, up to ``resend_max_s``."""
    resend_max_s: float = 16.0
    """Longest wait between two sendings."""
    resend_attempts: int = 8
    """Sendings beyond the first; then it is up to repair."""

    # sync messages
    sync_s: float = 1.0
    """First wait for a sync message after something happened; doubled while nothing does."""
    sync_max_s: float = 30.0
    """Longest wait for a sync message; equal to ``sync_s``: strictly periodic."""
    sync_entries: int = 20
    """History entries in a sync message; with its filter it fits a datagram."""
    sync_entries_wide: int = 200
    """The same while others are seen to miss something; each such message covers older ones than that before."""
    sync_messages: int = 256
    """Messages received since we last sent anything, after which a sync message acknowledges them; 0: no such."""

    # repair
    repair_min_s: float = 0.05
    """T_min: shortest wait before a missing message is asked for."""
    repair_max_s: float = 0.5
    """T_max: longest wait before it is asked for, and before an answer."""
    repair_requests: int = 3
    """Requests in one content message."""
    repair_requests_sync: int = 32
    """Requests in one sync message."""
    repair_prompt: bool = True
    """Requests that are due go out in a sync message at once; without, they wait for the next message."""
    repair_again_s: float = 0.5
    """A message asked for and not received is asked for again after this long, doubled each time up to eightfold; 0:
    never."""
    repair_offers: int = 0
    """Messages that are sent again, as if asked for, because the filter of a sync message lacks them; at most so many
    for each sync message.  For groups with participants that ask once and no more."""
    repair_groups: int = 1
    """Response groups; one for every 128 participants is recommended."""
    repair_buffer: int = 1_000
    """Requests kept, and answers kept, at most."""
    repair_window_s: float = 600.0
    """How long a missing message is asked for."""
    lost_s: float = 300.0
    """How long a message waits for what it depends on before it is delivered without; 0: for ever."""
    adaptive: bool = True
    """Measured acknowledgement times stretch ``resend_s``, ``repair_max_s`` and ``repair_again_s``."""

    def replaced(self, **values: float | bool | str) -> Profile:
        """This profile with other values.  UsageError naming the first that is unknown or cannot be."""
        unknown = [name for name in values if name not in self._fields]
        if unknown:
            raise UsageError(f"{unknown[0]}: no such setting of a profile", field=unknown[0])
        return check_profile(Profile(**(self._asdict() | values)))


def check_profile(profile: Profile) -> Profile:
    """``profile`` itself; UsageError naming the first value that cannot be."""
    for name in _AT_LEAST_ONE:
        if getattr(profile, name) < 1:
            raise UsageError(f"{name}: {getattr(profile, name)} is below 1", field=name)
    for name in _POSITIVE:
        if not getattr(profile, name) > 0:
            raise UsageError(f"{name}: {getattr(profile, name)} is not above 0", field=name)
    for name in _NOT_NEGATIVE:
        if getattr(profile, name) < 0:
            raise UsageError(f"{name}: {getattr(profile, name)} is negative", field=name)
    for low, high in (("resend_s", "resend_max_s"), ("sync_s", "sync_max_s"), ("repair_min_s", "repair_max_s")):
        if getattr(profile, low) > getattr(profile, high):
            raise UsageError(f"{low}: {getattr(profile, low)} is above {high}", field=low)
    if profile.bloom_error_rate >= 1:
        raise UsageError(f"bloom_error_rate: {profile.bloom_error_rate} is not below 1", field="bloom_error_rate")
    return profile


_AT_LEAST_ONE = (
    "history_max",
    "history_bytes_max",
    "bloom_capacity",
    "bloom_every",
    "possible_acks",
    "repair_groups",
    "repair_buffer",
)
_POSITIVE = ("bloom_error_rate", "resend_s", "sync_s", "repair_min_s", "repair_window_s")
_NOT_NEGATIVE = (
    "causal_entries",
    "resend_attempts",
    "causal_heads",
    "sync_entries",
    "sync_entries_wide",
    "sync_messages",
    "repair_requests",
    "repair_requests_sync",
    "repair_again_s",
    "repair_offers",
    "lost_s",
)

LAN: Final = check_profile(Profile("lan"))
"""For round trips of some milliseconds.  The default."""

WAN: Final = check_profile(
    Profile(
        "wan",
        resend_s=5.0,
        resend_max_s=60.0,
        sync_s=3.0,
        sync_max_s=60.0,
        repair_min_s=0.25,
        repair_max_s=2.5,
        repair_again_s=5.0,
        repair_window_s=3_600.0,
        lost_s=1_800.0,
    )
)
"""For round trips of some hundred milliseconds."""

INTEROP: Final = check_profile(
    Profile(
        "interop",
        causal_entries=200,
        causal_acks=False,
        bloom_capacity=10_000,
        bloom_error_rate=0.001,
        bloom_adaptive=False,
        bloom_every=1,
        resend_s=60.0,
        resend_max_s=60.0,
        resend_attempts=5,
        sync_s=30.0,
        sync_max_s=30.0,
        repair_min_s=30.0,
        repair_max_s=120.0,
        sync_entries=200,
        sync_messages=0,
        repair_requests_sync=3,
        repair_prompt=False,
        repair_again_s=30.0,
        repair_offers=32,
        repair_window_s=600.0,
        lost_s=600.0,
        adaptive=False,
    )
)
"""Sizes and timers of the other implementations, which cannot read a filter of another size."""

INTEROP_NIM: Final = check_profile(INTEROP._replace(name="interop-nim", causal_entries=10, repair_max_s=300.0))
"""The same with what nim-sds sets otherwise; for its dialect."""

PROFILES: Final = {profile.name: profile for profile in (LAN, WAN, INTEROP, INTEROP_NIM)}
"""The profiles by name."""


def profile_named(name: str) -> Profile:
    """The profile of that name; UsageError if there is none."""
    if name not in PROFILES:
        raise UsageError(f"profile: {name!r} is none of {', '.join(PROFILES)}", field="profile")
    return PROFILES[name]
