from __future__ import annotations

from holdfast.simulation.streams.plans import draw_world


def test_a_seed_draws_one_plan_and_seeds_differ() -> None:
    assert draw_world(5) == draw_world(5)
    assert len({draw_world(seed) for seed in range(100)}) == 100


def test_the_plans_cover_what_can_go_wrong() -> None:
    worlds = [draw_world(seed) for seed in range(200)]
    streams = [stream for world in worlds for stream in world.streams]
    assert {world.lossy for world in worlds} == {True, False}
    assert all(not world.faults.loss or world.lossy for world in worlds)
    assert any(world.faults.skew_s for world in worlds)
    assert any(world.cut_every_s and world.half_open for world in worlds)
    for name in ("writer", "overwrite", "manual", "autotune", "corked", "ends_early"):
        assert {getattr(stream, name) for stream in streams} == {True, False}, name
    assert not any(stream.writer and stream.overwrite for stream in streams)
