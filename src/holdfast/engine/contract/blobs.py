"""Blobs: immutable, named by their digest, there whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from typing import Any

import pytest

from ...errors import ClosedError, LimitExceeded, NotFound, StorageError, UsageError
from ...limits import LIMITS
from ..base import Blob, BlobStat, Engine
from .support import EngineFactory, scenario


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()


def _blob(data: bytes, meta: bytes = b"") -> Blob:
    return Blob(_digest(data), data, meta)


async def _parts(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


_LARGE = b"".join(b"%07d " % number for number in range(LIMITS.blob_part_bytes // 3))
"""Takes several parts."""


class BlobContract:
    """What a store of blobs does."""

    @scenario
    async def test_put_and_get(self, engine: Engine) -> None:
        blobs = engine.blobs
        one, empty = _blob(b"one", b"meta"), _blob(b"")
        assert await blobs.put(one.digest, one.data, meta=one.meta) is True
        assert await blobs.put(one.digest, one.data, meta=b"other") is False
        assert await blobs.put(empty.digest, b"") is True
        assert await blobs.get(one.digest) == b"one"
        assert await blobs.get(empty.digest) == b""
        assert await blobs.stat(one.digest) == BlobStat(one.digest, 3, b"meta"), "what is there is left as it is"
        assert [await blobs.get(one.digest, *at) for at in ((1,), (1, 1), (3,), (0, 99))] == [b"ne", b"n", b"", b"one"]

    @scenario
    async def test_many_at_once(self, engine: Engine) -> None:
        blobs = engine.blobs
        given = [_blob(b"%d" % number, b"m%d" % number) for number in range(700)]
        assert await blobs.put_many(given[:400]) == [True] * 400
        again = [*given[300:], *given[600:], given[650]]
        assert await blobs.put_many(again) == [False] * 100 + [True] * 300 + [False] * 101
        missing = _digest(b"missing")
        wanted = [given[699], given[0], given[300]]
        digests = [missing, *(blob.digest for blob in wanted), missing, given[0].digest]
        assert await blobs.get_many(digests) == [None, *(blob.data for blob in wanted), None, given[0].data]
        stats = await blobs.stat_many(digests)
        assert [stat and stat.meta for stat in stats] == [None, *(blob.meta for blob in wanted), None, given[0].meta]
        assert await blobs.get_many(digests, max_bytes=1) == [None]
        assert await blobs.get_many(digests[1:], max_bytes=1) == [blob.data for blob in wanted[:1]]
        assert await blobs.get_many(digests[1:], max_bytes=4) == [blob.data for blob in wanted[:2]]
        assert await blobs.put_many([]) == []
        assert await blobs.get_many([]) == []

    @scenario
    async def test_what_is_not_there(self, engine: Engine) -> None:
        missing = _digest(b"missing")
        for ask in (engine.blobs.get(missing), engine.blobs.get(missing, 5, 5), engine.blobs.stat(missing)):
            with pytest.raises(NotFound) as caught:
                await ask
            assert (caught.value.kind, caught.value.name) == ("blob", missing.hex())
        assert await engine.blobs.delete(missing) is False
        assert await engine.blobs.annotate_many([(missing, b"x")]) == [False]

    @scenario
    async def test_a_wrong_digest_is_refused(self, engine: Engine) -> None:
        right, wrong = _blob(b"right"), _digest(b"wrong")
        for data in (b"other", _parts(_LARGE, 10_000)):
            with pytest.raises(UsageError) as caught:
                await engine.blobs.put(wrong, data)
            assert caught.value.field == "digest"
        with pytest.raises(UsageError):
            await engine.blobs.put_many([right, Blob(wrong, b"other")])
        assert await engine.blobs.list() == [], "all of a batch or nothing"
        bad: Any
        for bad in (b"", b"short", right.digest.hex(), bytearray(right.digest)):
            with pytest.raises(UsageError):
                await engine.blobs.get(bad)

    @scenario
    async def test_large_ones_whole_and_in_parts(self, engine: Engine) -> None:
        blobs = engine.blobs
        digest = _digest(_LARGE)
        assert await blobs.put(digest, _LARGE, meta=b"m") is True
        assert await blobs.put(digest, _parts(_LARGE, 50_000)) is False
        assert await blobs.get(digest) == _LARGE
        streamed = _LARGE[5:]
        assert await blobs.put(_digest(streamed), _parts(streamed, 77_777), meta=b"s") is True
        assert await blobs.stat(_digest(streamed)) == BlobStat(_digest(streamed), len(streamed), b"s")
        assert await blobs.get(_digest(streamed)) == streamed
        edge = LIMITS.blob_part_bytes
        for offset, length in ((0, 1), (edge - 1, 2), (edge, edge), (len(_LARGE) - 3, 99), (1, 2 * edge), (7, 0)):
            assert await blobs.get(digest, offset, length) == _LARGE[offset : offset + length]
        with pytest.raises(UsageError):
            await blobs.get(digest, len(_LARGE) + 1)
        assert await blobs.put(_digest(b""), _parts(b"", 1)) is True

    @scenario
    async def test_an_upload_that_ends_early_leaves_nothing(self, engine: Engine) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield _LARGE[: LIMITS.blob_part_bytes * 2]
            raise ValueError("the source broke")

        with pytest.raises(ValueError, match="the source broke"):
            await engine.blobs.put(_digest(_LARGE), broken())
        assert await engine.blobs.list() == []
        assert await engine.blobs.put(_digest(_LARGE), _parts(_LARGE, 99_999)) is True
        assert await engine.blobs.get(_digest(_LARGE)) == _LARGE

    @scenario
    async def test_metas_change(self, engine: Engine) -> None:
        one, two = _blob(b"1", b"a"), _blob(b"2", b"b")
        await engine.blobs.put_many([one, two])
        changes = [(two.digest, b""), (_digest(b"no"), b"x"), (one.digest, b"long" * 1000)]
        assert await engine.blobs.annotate_many(changes) == [True, False, True]
        stats = await engine.blobs.stat_many([one.digest, two.digest])
        assert [stat and stat.meta for stat in stats] == [b"long" * 1000, b""]
        assert await engine.blobs.get(one.digest) == b"1"

    @scenario
    async def test_delete(self, engine: Engine) -> None:
        blobs = engine.blobs
        given = [_blob(b"%d" % number) for number in range(20)]
        large = _blob(_LARGE)
        await blobs.put_many([*given, large])
        assert await blobs.delete(large.digest) is True
        assert await blobs.delete_many([given[3].digest, _digest(b"no"), given[3].digest]) == [True, False, False]
        assert await blobs.get_many([large.digest, given[3].digest, given[4].digest]) == [None, None, b"4"]
        assert await blobs.put(large.digest, _LARGE) is True, "what was deleted is new again"
        assert await blobs.get(large.digest, 9, 9) == _LARGE[9:18]

    @scenario
    async def test_list(self, engine: Engine) -> None:
        given = sorted(_blob(b"%d" % number, b"m") for number in range(50))
        await engine.blobs.put_many(given)
        found: list[BlobStat] = []
        while page := await engine.blobs.list(found[-1].digest if found else b"", 7):
            assert len(page) <= 7
            found += page
        assert found == [BlobStat(blob.digest, len(blob.data), b"m") for blob in given]
        assert await engine.blobs.list(limit=1) == found[:1]
        assert await engine.blobs.list(after=bytes(32), limit=99) == found

    @scenario
    async def test_changes_take_place_in_the_order_of_the_calls(self, engine: Engine) -> None:
        one = _blob(b"one", b"a")
        results = await asyncio.gather(
            engine.blobs.put_many([one]),
            engine.blobs.delete_many([one.digest]),
            engine.blobs.put_many([one], ack="memory"),
            engine.blobs.put_many([one]),
            engine.blobs.annotate_many([(one.digest, b"b")]),
        )
        assert list(results) == [[True], [True], [True], [False], [True]]
        assert (await engine.blobs.stat(one.digest)).meta == b"b"

    @scenario
    async def test_too_much_is_refused(self, engine: Engine) -> None:
        with pytest.raises(LimitExceeded) as caught:
            await engine.blobs.put(_digest(b"x"), b"x", meta=bytes(LIMITS.blob_meta_bytes_max + 1))
        assert caught.value.name == "blob_meta_bytes_max"

    def test_everything_is_there_after_a_restart(self, engine_factory: EngineFactory) -> None:
        given: Sequence[Blob] = [_blob(b"%d" % number, b"m%d" % number) for number in range(20)]

        async def main() -> None:
            engine = engine_factory()
            await engine.start()
            await engine.blobs.put_many(given)
            await engine.blobs.put(_digest(_LARGE), _LARGE)
            await engine.blobs.delete(given[7].digest)
            before = await engine.blobs.list()
            blobs = engine.blobs
            await engine.stop()
            with pytest.raises(ClosedError):
                await blobs.get(given[0].digest)
            engine = engine_factory()
            await engine.start()
            assert await engine.blobs.list() == before
            assert await engine.blobs.get(_digest(_LARGE)) == _LARGE
            await engine.stop()

        asyncio.run(main())

    def test_a_full_store_takes_all_of_a_batch_or_nothing(self, engine_factory: EngineFactory) -> None:
        async def main() -> None:
            engine = engine_factory(max_bytes=1 << 20)
            await engine.start()
            kept = _blob(b"kept")
            await engine.blobs.put(kept.digest, kept.data)
            many = [_blob(b"%d" % number * 5000) for number in range(300)]
            with pytest.raises(StorageError):
                await engine.blobs.put_many(many)
            assert [stat.digest for stat in await engine.blobs.list()] == [kept.digest]
            with pytest.raises(StorageError):
                await engine.blobs.put(_digest(_LARGE * 9), _parts(_LARGE * 9, 1 << 17))
            assert await engine.blobs.get_many([kept.digest, _digest(_LARGE * 9)]) == [b"kept", None]
            await engine.stop()

        try:
            asyncio.run(main())
        except NotImplementedError:
            pytest.skip("this engine has no max_bytes")
