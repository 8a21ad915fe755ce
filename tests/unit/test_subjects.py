"""Subjects, patterns and the trie, against the plain way to see it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import UsageError
from holdfast.limits import LIMITS
from holdfast.subjects import (
    PatternTrie,
    check_pattern,
    check_subject,
    is_wild,
    matches,
    name_of,
    overlap,
    word_of,
)

words = st.sampled_from(["a", "b", "c"])
subjects = st.lists(words, min_size=1, max_size=4).map(".".join)
patterns = st.builds(
    lambda front, rest: ".".join([*front, ">"] if rest else front),
    st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4),
    st.booleans(),
)


def plainly(pattern: list[str], subject: list[str]) -> bool:
    """The definition, as one would say it."""
    if pattern == [">"]:
        return len(subject) >= 1
    if not pattern or not subject:
        return pattern == subject
    return pattern[0] in ("*", subject[0]) and plainly(pattern[1:], subject[1:])


@given(patterns, subjects)
def test_matches(pattern: str, subject: str) -> None:
    assert matches(pattern, subject) == plainly(pattern.split("."), subject.split("."))


@given(patterns, patterns, subjects)
def test_two_patterns_that_match_one_subject_overlap(one: str, other: str, subject: str) -> None:
    if matches(one, subject) and matches(other, subject):
        assert overlap(one, other)
    assert overlap(one, other) == overlap(other, one)


def test_overlap() -> None:
    assert overlap("a.*", "*.b")
    assert overlap("a.>", "a.*.c")
    assert not overlap("a.>", "a")
    assert not overlap("a.b", "a.c")
    assert not overlap("a.*", "a.b.c")


@given(st.lists(st.tuples(st.booleans(), patterns, st.integers(0, 3))), subjects)
def test_the_trie_finds_what_the_plain_way_finds(steps: list[tuple[bool, str, int]], subject: str) -> None:
    trie: PatternTrie[int] = PatternTrie()
    model: set[tuple[str, int]] = set()
    for add, pattern, value in steps:
        if add:
            trie.add(pattern, value)
            model.add((pattern, value))
        else:
            trie.remove(pattern, value)
            model.discard((pattern, value))
    assert sorted(trie.match(subject)) == sorted(value for pattern, value in model if matches(pattern, subject))
    assert len(trie) == len(model)
    assert sorted(trie) == sorted(value for _, value in model)
    for pattern, value in model:
        trie.remove(pattern, value)
    assert not trie._root.children, "nothing is left of what was removed"


def test_a_match_costs_what_it_finds_not_what_there_is() -> None:
    looked = 0

    class Counting(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            nonlocal looked
            looked += 1
            return super().get(key, default)

    costs = []
    for count in (10, 10_000):
        trie: PatternTrie[int] = PatternTrie()
        for number in range(count):
            trie.add(f"bus.topic{number}.*", number)
        looked = 0
        nodes = [trie._root]
        while nodes:
            node = nodes.pop()
            nodes += node.children.values()
            node.children = Counting(node.children)  # type: ignore[assignment]
        assert trie.match("bus.topic7.x") == [7]
        costs.append(looked)
    assert costs[0] == costs[1]


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a b", "a\x00", "a\n", "a" * 300, "é .b"])
def test_what_is_no_subject(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_subject(text, "there")
    assert caught.value.field == "there"
    with pytest.raises(UsageError):
        check_pattern(text)


@pytest.mark.parametrize("text", ["a.>.b", "a*.b", "**", ">>", "a.>b"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(UsageError):
        check_pattern(text)


def test_patterns_are_no_subjects() -> None:
    for text in ("*", ">", "a.*", "a.>"):
        assert check_pattern(text) == text
        assert is_wild(text)
        with pytest.raises(UsageError, match="pattern"):
            check_subject(text)
    assert check_subject("é.日本") == "é.日本"
    assert check_subject("a" * LIMITS.subject_length_max)
    assert not is_wild("a.b")


@given(st.text(min_size=1, max_size=20))
def test_any_name_can_be_a_word(name: str) -> None:
    word = word_of(name)
    assert name_of(word) == name
    assert not set(word) & set(".*> ")
