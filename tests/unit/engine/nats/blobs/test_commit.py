"""Commits: what they change, the messages they are, and that only whole ones count."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.base import Blob
from holdfast.engine.nats.blobs import commit as commit_module
from holdfast.engine.nats.blobs.commit import PACK_BYTES, Commit, IndexReader, opening_body
from holdfast.engine.nats.blobs.index import Index, Parts, Slice, place_of, stat_of

PART = 100


def blob(data: bytes, meta: bytes = b"") -> Blob:
    return Blob(sha256(data).digest(), data, meta)


def commit_on(index: Index, first: int = 1) -> Commit:
    return Commit(index.get, first, PART)


def bodies(commit: Commit) -> list[bytes]:
    return [data for subject, data in commit.letters("data", "index") if subject == "index"]


def test_small_ones_share_a_message_and_large_ones_have_several() -> None:
    index = Index()
    commit = commit_on(index, 10)
    one, two, big = blob(b"one", b"m"), blob(b"two"), blob(b"x" * 250)
    for each in (one, big, two):
        commit.store(each)
    letters = commit.letters("data", "index")
    assert [(subject, len(data)) for subject, data in letters[:-1]] == [("data", 6), *[("data", 100)] * 2, ("data", 50)]
    assert letters[-1][0] == "index"
    commit.apply(index)
    assert place_of(index.get(two.digest) or b"") == Slice(10, 3, 3)
    place = place_of(index.get(big.digest) or b"")
    assert isinstance(place, Parts)
    assert [sequence for sequence, _ in place.parts] == [11, 12, 13]
    assert commit.growth_bytes == index.used_bytes == 3 + 1 + 3 + 250


def test_a_pack_is_closed_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_module, "PACK_BYTES", 10)
    assert PACK_BYTES > 10
    commit = commit_on(Index())
    for size in (4, 4, 4, 50, 1):
        commit.store(blob(bytes([size]) * size))
    assert [len(data) for subject, data in commit.letters("data", "index") if subject == "data"] == [8, 4, 50, 1]


def test_later_commits_see_what_is_on_its_way() -> None:
    index = Index()
    first = commit_on(index)
    one = blob(b"one", b"a")
    first.store(one)
    second = Commit(first.find, 10, PART)
    assert second.annotate(one.digest, b"b")
    assert second.erase(one.digest)
    assert not second.erase(one.digest)
    assert not second.annotate(one.digest, b"c")
    assert index.get(one.digest) is None
    first.apply(index)
    assert stat_of(one.digest, index.get(one.digest) or b"").meta == b"a"
    second.apply(index)
    assert index.get(one.digest) is None
    assert index.freed == [1]


def test_what_comes_and_goes_within_a_commit_is_free_at_once() -> None:
    index = Index()
    commit = commit_on(index, 5)
    big, one = blob(b"x" * 150), blob(b"one")
    commit.store(big)
    commit.store(one)
    commit.erase(big.digest)
    commit.erase(one.digest)
    commit.store(one)
    commit.uploaded.append((1, *commit.add(b"part")))
    commit.apply(index)
    assert index.freed == [5, 6]
    assert index.packs.keys() == {7}


def test_a_commit_that_is_cut_is_void_and_the_next_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_module, "INDEX_BYTES", 30)
    cut, whole, read = commit_on(Index()), commit_on(Index(), 20), Index()
    one, two = blob(b"one"), blob(b"two")
    cut.store(one)
    whole.store(two)
    reader = IndexReader(read)
    assert len(bodies(cut)) > 1
    for body in [opening_body(), *bodies(cut)[:-1], opening_body(), *bodies(whole), opening_body()]:
        reader.read(body)
    assert read.get(one.digest) is None
    assert read.get(two.digest) is not None


def test_what_is_no_index_is_refused() -> None:
    reader = IndexReader(Index())
    with pytest.raises(ValueError, match="cut"):
        reader.read(b"\x01")
    with pytest.raises(ValueError, match="version 2"):
        reader.read(b"\x02" + opening_body()[1:])


steps = st.lists(
    st.tuples(
        st.sampled_from(["store", "erase", "annotate", "move", "restate", "commit"]),
        st.integers(0, 11),
        st.binary(max_size=5),
    ),
    max_size=60,
)


@given(steps)
def test_reading_back_gives_what_was_applied(actions: list[tuple[str, int, bytes]]) -> None:
    index, read = Index(), Index()
    reader = IndexReader(read)
    given_blobs = [blob(b"%d" % number * (1 + number * 12)) for number in range(12)]
    stored: dict[int, bytes] = {}
    commit = commit_on(index)
    for action, number, meta in [*actions, ("commit", 0, b"")]:
        each = given_blobs[number]
        held = commit.find(each.digest)
        if action == "store" and held is None:
            commit.store(each._replace(meta=meta))
        elif action == "erase":
            assert commit.erase(each.digest) == (held is not None)
        elif action == "annotate":
            assert commit.annotate(each.digest, meta) == (held is not None)
        elif action == "move" and held is not None and isinstance(place_of(held), Slice):
            commit.move(each.digest, each.data)
        elif action == "restate":
            commit.restate([each.digest])
        elif action == "commit":
            letters = commit.letters("data", "index")
            stored.update(enumerate([data for _, data in letters], commit.first))
            for body in bodies(commit):
                reader.read(body)
            commit.apply(index)
            commit = commit_on(index, commit.first + len(letters))
    for each in given_blobs:
        held = index.get(each.digest)
        assert read.get(each.digest) == held
        if held is not None:
            assert content(held, stored) == each.data
    assert read.used_bytes == index.used_bytes
    assert read.messages() == index.messages()
    assert not index.messages() & set(index.freed)


def content(held: bytes, stored: dict[int, bytes]) -> bytes:
    place = place_of(held)
    if isinstance(place, Slice):
        return stored[place.sequence][place.offset : place.offset + place.size]
    return b"".join([stored[sequence] for sequence, _ in place.parts])
