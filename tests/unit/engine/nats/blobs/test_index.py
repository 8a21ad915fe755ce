"""Where blobs are: entries, packs, pages, and what is free."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engine.base import BlobStat
from holdfast.engine.nats.blobs.index import (
    Index,
    Parts,
    Slice,
    annotating,
    entries,
    entry_bytes,
    erasing,
    large,
    place_of,
    placing,
    small,
    stat_of,
    with_meta,
)

DIGESTS = [sha256(b"%d" % number).digest() for number in range(40)]
metas = st.binary(max_size=20)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
slices = st.builds(Slice, u64, u32, u32)
many_parts = st.builds(Parts, u64, u32, st.lists(st.tuples(u64, u32), max_size=5))


@given(slices | many_parts, metas, metas)
def test_what_is_kept_says_where_a_blob_is_and_what_its_meta_is(
    place: Slice | Parts, meta: bytes, other: bytes
) -> None:
    held = small(place, meta) if isinstance(place, Slice) else large(place, meta)
    assert place_of(held) == place
    assert stat_of(DIGESTS[0], held) == BlobStat(DIGESTS[0], place.size, meta)
    assert place_of(with_meta(held, other)) == place
    assert stat_of(DIGESTS[0], with_meta(held, other)).meta == other
    assert entry_bytes(held) == len(placing(DIGESTS[0], held))


def test_entries_one_after_the_other() -> None:
    held = small(Slice(7, 1, 2), b"m")
    data = placing(DIGESTS[0], held) + annotating(DIGESTS[1], b"meta") + erasing(DIGESTS[2])
    found = list(entries(data))
    assert found == [(DIGESTS[0], held), (DIGESTS[1], b"\x03meta"), (DIGESTS[2], b"\x04")]
    for cut in (1, len(data) - 1):
        with pytest.raises(ValueError, match="cut"):
            list(entries(data[:cut]))


def test_an_entry_of_a_later_release_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="unknown kind: 9"):
        Index().read(erasing(DIGESTS[0])[:-1] + b"\x09")


def test_a_pack_is_free_when_its_last_blob_has_gone() -> None:
    index = Index()
    for number in range(4):
        index.put(DIGESTS[number], small(Slice(5, 10 * number, 10), b""))
    index.drop(DIGESTS[0])
    assert not index.sparse
    index.drop(DIGESTS[1])
    index.drop(DIGESTS[2])
    assert (index.sparse, index.freed) == ({5}, [])
    index.put(DIGESTS[3], small(Slice(6, 0, 10), b"moved"))
    assert (index.sparse, index.freed) == (set(), [5])
    assert list(index.packs) == [6]
    assert index.messages() == {6}


def test_a_large_one_frees_all_its_messages() -> None:
    index = Index()
    index.put(DIGESTS[0], large(Parts(30, 10, [(1, 0), (2, 0), (4, 0)]), b"m"))
    index.annotate(DIGESTS[0], b"other")
    assert index.freed == []
    assert index.messages() == {1, 2, 4}
    index.drop(DIGESTS[0])
    index.drop(DIGESTS[0])
    assert index.freed == [1, 2, 4]
    assert (index.count, index.used_bytes, index.live_bytes) == (0, 0, 0)


operations = st.lists(
    st.tuples(st.sampled_from(["put", "annotate", "drop"]), st.sampled_from(DIGESTS), metas), max_size=60
)


@given(operations, st.integers(1, 7))
def test_it_is_what_a_dict_would_be(steps: list[tuple[str, bytes, bytes]], limit: int) -> None:
    index, stored = Index(), bytearray()
    model: dict[bytes, bytes] = {}
    for number, (action, digest, meta) in enumerate(steps):
        if action == "put" and digest not in model:
            held = small(Slice(number // 3, number % 3, 1), meta)
            model[digest] = held
            stored += placing(digest, held)
        elif action == "annotate" and digest in model:
            model[digest] = with_meta(model[digest], meta)
            stored += annotating(digest, meta)
        elif action == "drop":
            model.pop(digest, None)
            stored += erasing(digest)
    index.read(bytes(stored))
    assert {digest: index.get(digest) for digest in DIGESTS if index.get(digest)} == model
    assert index.count == len(model)
    assert index.used_bytes == sum(1 + len(stat_of(digest, held).meta) for digest, held in model.items())
    assert index.live_bytes == sum(map(entry_bytes, model.values()))
    found: list[BlobStat] = []
    while page := index.page(found[-1].digest if found else b"", limit):
        found += page
    assert found == [stat_of(digest, model[digest]) for digest in sorted(model)]
    assert index.messages() == {place.sequence for held in model.values() if isinstance(place := place_of(held), Slice)}
