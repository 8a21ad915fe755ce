"""When sync messages go out."""

from __future__ import annotations

import itertools

from holdfast.sync.core.parts.pace import SyncPace
from holdfast.sync.profiles import INTEROP, LAN


def turns(pace: SyncPace, count: int) -> list[float]:
    found = []
    for _ in range(count):
        found.append(pace.at)
        pace.fired(pace.at)
    return found


def test_the_wait_grows_to_its_maximum_while_nothing_happens() -> None:
    gaps = [after - before for before, after in itertools.pairwise(turns(SyncPace(LAN, "a", 0.0), 12))]
    assert gaps[0] < 2 * 1.5 * LAN.sync_s
    assert all(LAN.sync_max_s / 2 <= gap <= 1.5 * LAN.sync_max_s for gap in gaps[6:])


def test_something_happening_makes_it_short_again_and_never_later() -> None:
    pace = SyncPace(LAN, "a", 0.0)
    turns(pace, 10)
    now = pace.at - 20.0
    pace.heard = True
    pace.happened(now)
    assert now < pace.at <= now + 1.5 * LAN.sync_s
    assert not pace.heard
    at = pace.at
    for _ in range(100):
        pace.happened(now + 0.01)
    assert pace.at == at


def test_a_message_of_our_own_puts_it_off() -> None:
    pace = SyncPace(LAN, "a", 0.0)
    now = 0.0
    for _ in range(100):
        now += LAN.sync_s / 3
        pace.said(now)
        assert now + LAN.sync_s / 2 <= pace.at <= now + 1.5 * LAN.sync_s
    periodic = SyncPace(INTEROP, "a", 0.0)
    periodic.said(5.0)
    assert periodic.at == INTEROP.sync_s


def test_hurrying_is_at_once() -> None:
    pace = SyncPace(LAN, "a", 0.0)
    pace.hurry(0.01)
    assert pace.at == 0.01


def test_the_same_name_has_the_same_times_and_another_others() -> None:
    assert turns(SyncPace(LAN, "a", 0.0), 9) == turns(SyncPace(LAN, "a", 0.0), 9)
    assert turns(SyncPace(LAN, "a", 0.0), 9) != turns(SyncPace(LAN, "b", 0.0), 9)


def test_strictly_periodic() -> None:
    pace = SyncPace(INTEROP, "a", 0.0)
    assert pace.periodic
    pace.happened(5.0)
    assert turns(pace, 3) == [30.0, 60.0, 90.0]
