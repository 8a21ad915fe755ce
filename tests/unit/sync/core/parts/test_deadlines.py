"""Which of many things is due first, against a dictionary that is searched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.sync.core.parts.deadlines import Deadlines

keys = st.sampled_from("abcdef")
times = st.integers(0, 20).map(float)
steps = st.one_of(
    st.tuples(st.just("set"), keys, times),
    st.tuples(st.just("cancel"), keys, times),
    st.tuples(st.just("take"), keys, times),
)


@given(st.lists(steps, max_size=200))
def test_it_does_what_a_dictionary_would(steps: list[tuple[str, str, float]]) -> None:
    deadlines = Deadlines()
    model: dict[str, float] = {}
    for step, key, at in steps:
        if step == "set":
            deadlines.set(key, at)
            model[key] = at
        elif step == "cancel":
            deadlines.cancel(key)
            model.pop(key, None)
        else:
            due = [(when, name) for name, when in model.items() if when <= at]
            expected = min(due)[1] if due else None
            assert deadlines.take(at) == expected
            if expected is not None:
                del model[expected]
        assert deadlines.first() == min(model.values(), default=None)
        assert len(deadlines) == len(model)
        assert all(deadlines.at(name) == when for name, when in model.items())
    assert deadlines.at("unknown") is None


def test_leftovers_do_not_pile_up() -> None:
    deadlines = Deadlines()
    for number in range(10_000):
        deadlines.set("always the same", float(number))
    assert len(deadlines._heap) < 200
