from __future__ import annotations

import pytest

from holdfast.streams.pace import Pace

KIB = 1024
LARGE = 1 << 30


def make(*, autotune: bool = True, lossy: bool = False, window_max: int = LARGE) -> Pace:
    return Pace(
        window=64 * KIB,
        window_max=window_max,
        packet=16 * KIB,
        packet_max=64 * KIB,
        autotune=autotune,
        lossy=lossy,
    )


def round_trip(pace: Pace, base: int, now: float, rtt_s: float, reader_window: int = LARGE) -> int:
    """A whole window is sent at ``now`` and acknowledged at once a round trip later."""
    end = base + pace.window
    pace.begin(end, base, now)
    pace.end(end, now + rtt_s, reader_window)
    return end


def test_grows_fourfold_a_round_trip_up_to_its_bound() -> None:
    pace = make(window_max=2 * KIB * KIB)
    base, windows = 0, []
    for turn in range(4):
        base = round_trip(pace, base, turn * 0.1, 0.1)
        windows.append(pace.window // KIB)
    assert windows == [256, 1024, 2048, 2048]
    assert pace.packet == 64 * KIB


def test_settles_where_the_path_is_full() -> None:
    """100 kB/s and 100 ms hold 10,000 bytes: more in flight only takes longer."""
    pace = Pace(window=1_000, window_max=LARGE, packet=100, packet_max=100, autotune=True, lossy=False)
    base, now = 0, 0.0
    for _ in range(30):
        rtt_s = max(0.1, pace.window / 100_000)
        base = round_trip(pace, base, now, rtt_s)
        now += rtt_s
    assert 10_000 < pace.window <= 40_000


def test_a_train_of_acknowledgements_tells_the_rate_at_once() -> None:
    pace = make()
    pace.begin(64_000, 0, 0.0)
    pace.train(16_000, 0.2)
    pace.end(64_000, 0.2 + 48_000 / 100e6, LARGE)
    assert pace.window == int(min(64 * 64 * KIB, 2 * 100e6 * pace.rtt_min))


def test_no_larger_than_what_the_reader_takes() -> None:
    pace = make()
    round_trip(pace, 0, 0.0, 0.1, reader_window=100 * KIB)
    assert pace.window == 100 * KIB


def test_fixed_stays_fixed() -> None:
    pace = make(autotune=False)
    round_trip(pace, 0, 0.0, 0.1)
    pace.lost()
    assert (pace.window, pace.packet) == (64 * KIB, 16 * KIB)
    assert pace.rtt == 0.1


def test_a_loss_narrows_but_two_packets_always_fit() -> None:
    pace = make(lossy=True)
    round_trip(pace, 0, 0.0, 0.1)
    assert pace.window == 128 * KIB
    pace.lost()
    assert pace.window == int(128 * KIB * 0.7)
    for _ in range(20):
        pace.lost()
    assert pace.window == 32 * KIB


def test_the_timeout_follows_the_round_trip() -> None:
    pace = make()
    assert pace.timeout_s() == 1.0
    round_trip(pace, 0, 0.0, 0.1)
    assert pace.timeout_s() == pytest.approx(0.3)
    for turn in range(1, 50):
        round_trip(pace, 0, turn * 0.1, 0.1)
    assert pace.timeout_s() == pytest.approx(0.1, rel=0.01)
    quick = make()
    round_trip(quick, 0, 0.0, 0.0)
    assert quick.timeout_s() == 0.02


def test_a_forgotten_timing_counts_for_nothing() -> None:
    pace = make()
    pace.begin(10, 0, 0.0)
    pace.forget()
    assert pace.mark == -1
    assert pace.rtt is None
