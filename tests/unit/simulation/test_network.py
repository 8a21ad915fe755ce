from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.simulation.network import Faults, Lane
from holdfast.simulation.world import World


class Bench:
    """A lane, and when what arrived."""

    def __init__(self, **faults: float) -> None:
        self.world = World(seed=1)
        self.arrivals: list[tuple[float, str]] = []
        self.lane: Lane[str] = Lane(self.world, Faults(**faults), self.arrive)

    def arrive(self, item: str) -> None:
        self.arrivals.append((round(self.world.now(), 6), item))

    def settle(self) -> list[tuple[float, str]]:
        while self.world.step():
            pass
        return self.arrivals


def test_without_faults_all_arrives_at_once_in_order() -> None:
    bench = Bench()
    for item in "abc":
        bench.lane.send(item, 10)
    assert bench.lane.in_flight_bytes == bench.lane.high_water_bytes == 30
    assert bench.settle() == [(0.0, "a"), (0.0, "b"), (0.0, "c")]
    assert (bench.lane.sent, bench.lane.arrived, bench.lane.in_flight_bytes) == (3, 3, 0)


def test_delay() -> None:
    bench = Bench(delay_s=0.25)
    bench.lane.send("a", 10)
    assert bench.settle() == [(0.25, "a")]


def test_skew_lets_items_overtake_each_other_within_its_bounds() -> None:
    bench = Bench(delay_s=0.1, skew_s=0.05)
    for number in range(200):
        bench.lane.send(str(number), 1)
    arrivals = bench.settle()
    assert [item for _, item in arrivals] != [str(number) for number in range(200)]
    assert len(arrivals) == 200
    assert min(arrivals)[0] >= 0.05
    assert max(arrivals)[0] <= 0.15


def test_bandwidth_queues() -> None:
    bench = Bench(bandwidth_bytes_s=100.0, delay_s=1.0)
    bench.lane.send("a", 50)
    bench.lane.send("b", 100)
    assert bench.settle() == [(1.5, "a"), (2.5, "b")]


def test_loss_and_duplication_in_about_their_shares() -> None:
    bench = Bench(loss=0.25, duplicate=0.5)
    for number in range(2000):
        bench.lane.send(str(number), 1)
    arrivals = bench.settle()
    assert 400 < bench.lane.lost < 600
    assert 650 < bench.lane.duplicated < 850
    assert len(arrivals) == 2000 - bench.lane.lost + bench.lane.duplicated


def test_a_cut_loses_what_is_on_its_way_and_what_is_sent_before_it_heals() -> None:
    bench = Bench(delay_s=1.0)
    bench.lane.send("in flight", 1)
    bench.lane.cut()
    assert bench.lane.in_flight_bytes == 0
    bench.lane.send("into the void", 1)
    bench.lane.heal()
    bench.lane.send("after", 1)
    assert bench.settle() == [(1.0, "after")]
    assert bench.lane.lost == 2


def test_silence_swallows_all_and_says_nothing() -> None:
    bench = Bench(delay_s=1.0)
    bench.lane.send("before", 1)
    bench.lane.silent = True
    bench.lane.send("during", 1)
    assert bench.lane.up
    assert bench.settle() == []
    bench.lane.heal()
    bench.lane.send("after", 1)
    assert [item for _, item in bench.settle()] == ["after"]


def test_changes_are_told() -> None:
    bench = Bench(delay_s=1.0)
    told: list[tuple[float, int]] = []
    bench.lane.on_change = lambda now, size: told.append((now, size))
    bench.lane.send("a", 5)
    bench.settle()
    assert told == [(0.0, 5), (1.0, 0)]


def test_faults_can_change() -> None:
    bench = Bench(delay_s=1.0)
    bench.lane.change(Faults())
    bench.lane.send("a", 5)
    assert bench.settle() == [(0.0, "a")]


@pytest.mark.parametrize(("field", "value"), [("delay_s", -1.0), ("loss", 1.5), ("duplicate", 2.0), ("skew_s", -0.1)])
def test_faults_that_make_no_sense(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=field):
        Bench(**{field: value})
