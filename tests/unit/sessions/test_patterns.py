"""What one set of patterns changes about another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.limits import LIMITS
from holdfast.sessions.model import PatternSpec
from holdfast.sessions.patterns import check_specs, compare, provider_of

specs = st.lists(
    st.builds(
        PatternSpec,
        pattern=st.sampled_from([f"p.{letter}" for letter in "abcde"]),
        policy=st.sampled_from(["drop-oldest", "conflate"]),
    ),
    unique_by=lambda spec: spec.pattern,
)


@given(specs, specs)
def test_every_pattern_is_in_exactly_one(old: list[PatternSpec], new: list[PatternSpec]) -> None:
    before, after = check_specs(old, LIMITS), check_specs(new, LIMITS)
    diff = compare(before, after)
    assert sorted([*diff.added, *diff.changed, *diff.kept]) == sorted(after)
    assert sorted([*diff.removed, *diff.changed, *diff.kept]) == sorted(before)
    assert all(before[pattern] == after[pattern] for pattern in diff.kept)
    assert all(before[pattern] != after[pattern] for pattern in diff.changed)
    assert compare(after, after).kept == list(after)


def test_provider_of() -> None:
    assert provider_of("jobs.*.output") == "jobs"
    assert provider_of("jobs") == "jobs"
