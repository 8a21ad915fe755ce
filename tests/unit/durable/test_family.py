"""Sources, forks and ghosts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.durable.family import Family


def test_a_stream_without_forks_just_goes() -> None:
    family = Family()
    family.add("a", None)
    assert not family.has_forks("a")
    assert family.remove("a") == []


def test_a_ghost_goes_with_its_last_fork() -> None:
    family = Family()
    family.add("a", None)
    family.add("b", "a")
    family.add("c", "a")
    family.haunt("a")
    assert family.remove("b") == []
    assert family.is_ghost("a")
    assert family.remove("c") == ["a"]
    assert not family.is_ghost("a")


def test_ghosts_go_up_the_chain_as_far_as_they_are_ghosts() -> None:
    family = Family()
    family.add("a", None)
    family.add("b", "a")
    family.add("c", "b")
    family.add("d", "c")
    family.haunt("b")
    family.haunt("c")
    assert family.remove("d") == ["c", "b"]
    assert not family.has_forks("a") and not family.is_ghost("a")


def test_a_failed_deletion_leaves_no_ghost() -> None:
    family = Family()
    family.add("a", None)
    family.add("b", "a")
    family.haunt("a")
    family.exorcise("a")
    assert not family.is_ghost("a") and family.has_forks("a")
    assert family.remove("b") == []


@given(st.lists(st.integers(0, 9), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_when_all_are_deleted_nobody_haunts(sources: list[int], random: object) -> None:
    family, paths = Family(), ["0"]
    family.add("0", None)
    for number, source in enumerate(sources, 1):
        family.add(str(number), paths[source % len(paths)])
        paths.append(str(number))
    random.shuffle(paths)  # type: ignore[attr-defined]
    living = set(paths)
    for path in paths:
        if family.has_forks(path):
            family.haunt(path)
        else:
            living -= set(family.remove(path))
        living.discard(path)
    assert not living
    assert not family._ghosts and not family._forks and not family._sources
