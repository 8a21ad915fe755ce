from __future__ import annotations

import pytest

from holdfast.simulation.world import RealWorld, World


def test_events_happen_in_order_of_time_then_of_asking() -> None:
    world, said = World(), list[tuple[float, str]]()

    def say(word: str) -> None:
        said.append((world.now(), word))

    world.after(2.0, say, "third")
    world.at(1.0, say, "first")
    world.at(1.0, say, "second")
    world.soon(say, "at once")
    while world.step():
        pass
    assert said == [(0.0, "at once"), (1.0, "first"), (1.0, "second"), (2.0, "third")]
    assert world.steps == 4


def test_a_cancelled_timer_does_not_happen() -> None:
    world = World()
    timer = world.after(1.0, lambda: pytest.fail("was cancelled"))
    timer.cancel()
    timer.cancel()
    assert not world.step()
    assert world.now() == 0.0


def test_run_until_something_holds_or_nothing_moves() -> None:
    world, ticks = World(), list[float]()

    def tick() -> None:
        ticks.append(world.now())
        if len(ticks) < 5:
            world.after(0.5, tick)

    tick()
    assert world.run(lambda: len(ticks) == 3)
    assert ticks == [0.0, 0.5, 1.0]
    assert not world.run(lambda: len(ticks) == 99)
    assert world.now() == 2.0


def test_chance_comes_from_the_seed() -> None:
    assert [World(3).random.random() for _ in range(2)] == [World(3).random.random()] * 2
    assert World(3).random.random() != World(4).random.random()


def test_the_same_in_real_time() -> None:
    world, said = RealWorld(), list[str]()
    world.after(0.002, said.append, "late")
    world.after(0.001, said.append, "early")
    dead = world.after(0.0, said.append, "never")
    dead.cancel()

    def spin() -> None:
        if len(said) < 2:
            world.soon(spin)

    world.soon(spin)
    assert world.run(lambda: len(said) == 2)
    assert said == ["early", "late"]
    assert world.now() >= 0.002


def test_real_time_waits_for_its_events() -> None:
    world = RealWorld()
    world.after(0.002, lambda: None)
    assert world.step()
    assert world.now() >= 0.002
    assert not world.step()
