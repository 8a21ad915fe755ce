"""Callbacks by descriptor and direction, on a real selector."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator

import pytest

from holdfast.jobs.keeper.watch import READ, WRITE, Watch


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = os.openpty()
    yield ends
    for fd in ends:
        os.close(fd)


def turn(selector: selectors.BaseSelector) -> None:
    for key, mask in selector.select(0):
        key.data(mask)


def test_each_direction_has_its_own_callback(selector: selectors.BaseSelector, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    watch, said = Watch(selector), []
    watch.set(ours, READ, lambda: said.append("read"))
    turn(selector)
    assert said == []
    watch.set(ours, WRITE, lambda: said.append("write"))
    turn(selector)
    assert said == ["write"]
    os.write(theirs, b"x")
    turn(selector)
    assert sorted(said[1:]) == ["read", "write"]
    watch.set(ours, WRITE, None)
    turn(selector)
    assert said[3:] == ["read"]
    watch.set(ours, READ, None)
    assert not selector.get_map()


def test_a_callback_may_forget_its_descriptor(selector: selectors.BaseSelector, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    watch, said = Watch(selector), []

    def read() -> None:
        said.append("read")
        watch.forget(ours)

    watch.set(ours, READ, read)
    watch.set(ours, WRITE, lambda: said.append("write"))
    os.write(theirs, b"x")
    turn(selector)
    assert said == ["read"]
    watch.forget(ours)
    watch.set(ours, READ, None)


def test_a_callback_can_be_replaced(selector: selectors.BaseSelector, terminal: tuple[int, int]) -> None:
    ours, _ = terminal
    watch, said = Watch(selector), []
    watch.set(ours, WRITE, lambda: said.append("old"))
    watch.set(ours, WRITE, lambda: said.append("new"))
    turn(selector)
    assert said == ["new"]
