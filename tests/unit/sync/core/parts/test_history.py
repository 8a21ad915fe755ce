"""What is had: bounded, in order, with its heads, and what storage is still to be told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.sync.core.parts.history import History, Record
from holdfast.sync.model import HistoryEntry
from holdfast.sync.wire import Wire
from holdfast.sync.wire.bloom import signed_hashes

WIRE = Wire("spec")


def record(name: str) -> Record:
    return Record(name, 1, "bob", name.encode(), WIRE.reference(HistoryEntry(name, b"", "bob")), signed_hashes(name))


def add(history: History, name: str, *after: str) -> list[str]:
    gone = history.add(record(name), [HistoryEntry(one) for one in after], persistent=True)
    return [one.message_id for one in gone]


def names(records: list[Record]) -> list[str]:
    return [one.message_id for one in records]


def test_the_oldest_goes_first() -> None:
    history = History(WIRE, 3, 3)
    gone = [add(history, name) for name in "abcde"]
    assert gone == [[], [], [], ["a"], ["b"]]
    assert names(list(history)) == ["c", "d", "e"]
    assert names(list(history.newest(2))) == ["e", "d"]
    assert names(history.window(1, 5)) == ["c", "d"]
    assert len(history) == 3
    assert "c" in history and "a" not in history


def test_large_messages_let_more_than_one_go_but_never_the_newest() -> None:
    history = History(WIRE, 10, 10, bytes_limit=10)
    for name in ("aaa", "bbb", "ccc"):
        assert add(history, name) == []
    assert add(history, "dddddd") == ["aaa", "bbb"]
    assert add(history, "e" * 20) == ["ccc", "dddddd"]
    assert names(list(history)) == ["e" * 20]
    assert names(history.references(5, 0)[0]) == ["e" * 20]


def test_heads_are_what_nothing_refers_to() -> None:
    history = History(WIRE, 10, 10)
    add(history, "a")
    add(history, "b")
    assert list(history.heads) == ["a", "b"]
    add(history, "c", "a", "unknown")
    assert list(history.heads) == ["b", "c"]
    chosen, all_heads = history.references(4, 64)
    assert names(chosen) == ["a", "b", "c"]
    history.add_own(record("own"), all_heads=all_heads, referred=chosen, persistent=True)
    assert list(history.heads) == ["own"]


def test_heads_that_are_older_than_the_newest_take_their_place() -> None:
    history = History(WIRE, 20, 4)
    for name in "abc":
        add(history, name)
    for name, before in zip("defghi", "bdefgh", strict=True):
        add(history, name, before)
    assert list(history.heads) == ["a", "c", "i"]
    assert names(history.references(4, 64)[0]) == ["a", "c", "h", "i"]
    assert history.references(4, 2)[1] is False
    add(history, "j", "a", "c")
    assert names(history.references(4, 64)[0]) == ["g", "h", "i", "j"]


def test_a_head_that_is_evicted_is_none_any_more() -> None:
    history = History(WIRE, 2, 2)
    for name in "abc":
        add(history, name)
    assert list(history.heads) == ["b", "c"]


def test_without_heads_the_newest_are_referred_to() -> None:
    history = History(WIRE, 10, 4)
    for name in "abcdef":
        add(history, name)
    assert names(history.references(2, 0)[0]) == ["e", "f"]
    assert names(history.references(9, 0)[0]) == ["c", "d", "e", "f"]


def test_a_write_that_fails_is_told_again_before_what_came_since() -> None:
    history = History(WIRE, 10, 4)
    add(history, "a")
    add(history, "b")
    first = history.update()
    assert first is not None and [one.message_id for one in first.append] == ["a", "b"]
    assert history.update() is None
    add(history, "c")
    history.retry(first)
    again = history.update()
    assert again is not None and [one.message_id for one in again.append] == ["a", "b", "c"]
    assert history.confirm(again) == ["a", "b", "c"]
    assert all(one.stored for one in history)


def test_what_went_while_it_was_being_stored_is_not_stored_for_good() -> None:
    history = History(WIRE, 2, 2)
    for name in "ab":
        add(history, name)
    under_way = history.update()
    assert under_way is not None
    add(history, "c")
    assert history.confirm(under_way) == ["b"]
    then = history.update()
    assert then is not None and then.evict == ("a",)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["ok", "fails", "later"])), max_size=60))
def test_storage_catches_up_whatever_fails(steps: list[tuple[str, str]]) -> None:
    """Replayed against a store, the updates give what the history has, in its order, once one succeeds."""
    history = History(WIRE, 3, 3)
    stored: dict[str, bytes] = {}

    def flush(*, fails: bool) -> None:
        update = history.update()
        if update is None:
            return
        if fails:
            history.retry(update)
            return
        for name in update.evict:
            stored.pop(name, None)
        for one in update.append:
            stored.pop(one.message_id, None)
            stored[one.message_id] = one.data
        history.confirm(update)

    for name, how in steps:
        if name not in history:
            add(history, name)
        if how != "later":
            flush(fails=how == "fails")
        assert len(history.pending) <= 7
    flush(fails=False)
    kept = names(list(history))
    assert [name for name in stored if name in kept] == kept
    # What storage was never told to evict is what a load finds too much, at its beginning.
    assert list(stored)[len(stored) - len(kept) :] == kept
