from __future__ import annotations

import io
import json

import pytest

from holdfast.errors import HoldfastError
from holdfast.simulation.sync.many import Worlds, serve
from holdfast.simulation.sync.options import SyncOptions
from holdfast.simulation.sync.run import run_sync

SMALL = SyncOptions(peers=3, messages=10, over_s=1.0, profiles=("lan", "wan"))


def test_worlds_in_other_processes_are_the_same_as_here() -> None:
    options = [SMALL._replace(seed=seed) for seed in range(5)]
    with Worlds(2) as worlds:
        first = list(worlds.run(options))
        again = list(worlds.run(options[:1]))
        assert len(worlds._processes) == 2
        processes = [one._popen for one in worlds._processes]
    assert all(process.returncode is not None for process in processes)
    by_seed = {report.seed: report for report in first}
    assert len(by_seed) == 5
    here = run_sync(options[3])
    # What objects take in memory depends on what else was made before them.
    assert by_seed[3]._replace(held_largest=0) == here._replace(held_largest=0)
    assert again[0]._replace(held_largest=0) == by_seed[0]._replace(held_largest=0)


def test_no_worlds_need_no_process() -> None:
    with Worlds() as worlds:
        assert worlds.workers >= 1
        assert list(worlds.run([])) == []
        assert worlds._processes == []


def test_whoever_stops_listening_ends_them() -> None:
    with Worlds(2) as worlds:
        reports = worlds.run(SMALL._replace(seed=seed) for seed in range(100))
        next(reports)
        processes = [one._popen for one in worlds._processes]
        reports.close()
        assert all(process.returncode is not None for process in processes)
        assert [report.seed for report in worlds.run([SMALL])] == [0]


def test_a_process_that_dies_is_named_by_its_world() -> None:
    with Worlds(1) as worlds:
        reports = worlds.run(SMALL._replace(seed=seed) for seed in range(50))
        next(reports)
        worlds._processes[0]._popen.kill()
        with pytest.raises(HoldfastError, match=r"ended with -9; replay: holdfast sim sync .*--seed"):
            list(reports)


def test_a_process_ends_when_its_input_does() -> None:
    answers = io.BytesIO()
    serve([json.dumps(SMALL).encode()], answers)
    report = json.loads(answers.getvalue())
    assert report == json.loads(json.dumps(run_sync(SMALL)))
