"""Records over RPC against a real node: the streams as they are specified, and all other commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest

from holdfast.client.aio import Node, connect
from holdfast.errors import (
    AlreadyExists,
    ClosedError,
    Conflict,
    CorruptionError,
    HoldfastError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    UsageError,
)
from holdfast.records.api import RecordsApi
from holdfast.records.canonical import canonical_json
from holdfast.records.cid import RAW, cid_of_digest, record_cid
from holdfast.records.model import FeedPage, Sealed, StreamStart
from holdfast.records.wire import ERROR, EXISTED, OK, BatchDecoder, encode_batch, zstd
from holdfast.rpc.aio.connection import AsyncConnection
from holdfast.rpc.aio.streams import AsyncReader, AsyncWriter
from holdfast.rpc.commands import invoke
from holdfast.rpc.failures import decode_error, decode_failure
from holdfast.streams import Chunk, End, Failed
from holdfast.testing import NodeBox, wait_until
from tests.conftest import Run

MISSING = record_cid(b'{"missing":true}').encode()


@pytest.fixture(scope="module")
def box() -> Iterator[NodeBox]:
    """One node for all that does not kill it."""
    with NodeBox.temporary() as made:
        made.env["HOLDFAST_LIMIT_RECORD_STREAMS_MAX"] = "3"
        made.start_node("--listen", "tcp://127.0.0.1:0", "--insecure-listen")
        yield made


@asynccontextmanager
async def link_to(box: NodeBox, url: str = "", **options: Any) -> AsyncIterator[AsyncConnection]:
    async with connect(url or box.url, autostart=False, **options) as node:
        yield await connection_of(node)


async def connection_of(node: Node) -> AsyncConnection:
    return await node._link.connection()


class Stream:
    """One open stream of records, as the protocol has it."""

    def __init__(self, requests: AsyncWriter, answers: AsyncReader, start: StreamStart) -> None:
        self.requests = requests
        self.answers = answers
        self.start = start
        self.compressor = zstd() if start.compression else None
        self._decoder = BatchDecoder(self.compressor)

    @classmethod
    async def open(cls, link: AsyncConnection, method: Any, **options: Any) -> Stream:
        answers, requests = link.open_reader(), link.open_writer()
        start = await invoke(link, method, requests.stream_id, answers.stream_id, **options)
        answers.start()
        return cls(requests, answers, start)

    async def send(self, indexes: Sequence[int], bodies: Sequence[bytes]) -> None:
        await self.requests.write(encode_batch(indexes, bodies, b"", self.compressor))

    async def receive(self) -> list[tuple[int, int, bytes]] | End | Failed:
        """The next answers, or how it ended."""
        while not (batches := list(self._decoder)):
            item = await self.answers.read()
            if not isinstance(item, Chunk):
                assert isinstance(item, End | Failed)
                return item
            self._decoder.feed(item.data)
        return [
            (index, batch.statuses[at] if batch.statuses else OK, body)
            for batch in batches
            for at, (index, body) in enumerate(zip(batch.indexes, batch.bodies, strict=True))
        ]

    async def rest(self) -> tuple[list[tuple[int, int, bytes]], End | Failed]:
        """All answers, and how it ended."""
        found: list[tuple[int, int, bytes]] = []
        while isinstance(item := await self.receive(), list):
            found += item
        return found, item


async def exchange(
    link: AsyncConnection, method: Any, bodies: Sequence[bytes], *, batch: int = 100, **options: Any
) -> list[tuple[int, int, bytes]]:
    """Send all, get all."""
    stream = await Stream.open(link, method, **options)

    async def send() -> None:
        for start in range(0, len(bodies), batch):
            await stream.send(range(start, min(start + batch, len(bodies))), bodies[start : start + batch])
        await stream.requests.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        found, end = await stream.rest()
    assert isinstance(end, End)
    return found


def texts(count: int, **fields: Any) -> list[bytes]:
    return [json.dumps({"name": f"r{number}", **fields}).encode() for number in range(count)]


def in_box(run: Run, box: NodeBox, story: Callable[[AsyncConnection], Any]) -> Any:
    async def main() -> Any:
        async with link_to(box) as link:
            return await story(link)

    return run(main())


class TestStreams:
    @pytest.mark.parametrize("ordered", [True, False])
    @pytest.mark.parametrize("compression", ["", "zstd"])
    def test_all_four(self, run: Run, box: NodeBox, ordered: bool, compression: str) -> None:
        async def story(link: AsyncConnection) -> None:
            options: dict[str, Any] = {"ordered": ordered, "compression": compression}
            given = texts(1_500, way=f"{ordered} {compression}", filler="x" * 300)
            pushed = await exchange(link, RecordsApi.push, given, **options)
            if ordered:
                assert [index for index, _, _ in pushed] == list(range(1_500))
            cids = [cid for _, _, cid in sorted(pushed)]
            assert cids == [record_cid(canonical_json(json.loads(text))).encode() for text in given]
            assert {status for _, status, _ in pushed} == {OK}
            again = await exchange(link, RecordsApi.push, given, **options)
            assert {status for _, status, _ in again} == {EXISTED}
            pulled = await exchange(link, RecordsApi.pull, cids, **options)
            assert [body for _, _, body in sorted(pulled)] == [canonical_json(json.loads(text)) for text in given]
            looked = await exchange(link, RecordsApi.lookup, cids, **options)
            assert [json.loads(body)["name"] for _, _, body in sorted(looked)] == [f"r{n}" for n in range(1_500)]
            gone = await exchange(link, RecordsApi.delete, [*cids, cids[0]], **options)
            assert [status for _, status, _ in sorted(gone)] == [*[OK] * 1_500, ERROR]
            assert isinstance(decode_error(max(gone)[2]), NotFound)

        in_box(run, box, story)

    def test_two_ten_and_all_items_failing(self, run: Run, box: NodeBox) -> None:
        """Regression 18: all others succeed, statuses by index, nothing hangs."""

        async def story(link: AsyncConnection) -> None:
            for failing in (2, 10, 300):
                given = texts(300, failing=failing)
                bad = range(0, 300, 300 // failing)
                for number in bad:
                    given[number] = (b"not json", b"[]", b'{"t":"%s"}' % (b"x" * (1 << 22)))[
                        number % 3 if failing < 300 else 0
                    ]
                found = await exchange(link, RecordsApi.push, given, batch=37)
                assert [index for index, _, _ in found] == list(range(300))
                assert [index for index, status, _ in found if status == ERROR] == list(bad)
                errors = {index: decode_error(body) for index, status, body in found if status == ERROR}
                for number, error in errors.items():
                    expected = LimitExceeded if failing < 300 and number % 3 == 2 else UsageError
                    assert isinstance(error, expected), number

        in_box(run, box, story)

    def test_any_indexes_and_items_as_large_as_they_may_be(self, run: Run, box: NodeBox) -> None:
        async def story(link: AsyncConnection) -> None:
            stream = await Stream.open(link, RecordsApi.push)
            largest = b'{"t":"' + b"x" * ((1 << 22) - 8) + b'"}'
            padded = b'{"t":"small"' + b" " * (stream.start.item_bytes_max - 13) + b"}"
            assert len(padded) == stream.start.item_bytes_max
            sending = asyncio.create_task(stream.send([7, 1 << 62, 3], [b'{"a":1}', largest, b'{"b":2}']))
            await sending
            await stream.send([0], [padded])
            await stream.requests.close()
            found, end = await stream.rest()
            assert isinstance(end, End)
            assert [(index, status) for index, status, _ in found] == [(7, OK), (1 << 62, OK), (3, OK), (0, OK)]
            ((_, status, body),) = await exchange(link, RecordsApi.pull, [found[1][2]])
            assert (status, body) == (OK, largest)

        in_box(run, box, story)

    @pytest.mark.parametrize("garbage", [b"\0" * 50, b"\xff" * 50, encode_batch([0], [b"{}"])[:-1]])
    def test_what_is_no_batch_fails_the_stream_and_nothing_else(self, run: Run, box: NodeBox, garbage: bytes) -> None:
        async def story(link: AsyncConnection) -> None:
            stream = await Stream.open(link, RecordsApi.push)
            await stream.send([0, 1], texts(2))
            await stream.requests.write(garbage)
            try:
                await stream.requests.close()
            except ClosedError:
                pass
            _, end = await stream.rest()
            assert isinstance(end, Failed)
            assert isinstance(decode_failure(end.error), UsageError)
            assert len(await exchange(link, RecordsApi.push, texts(3))) == 3

        in_box(run, box, story)

    def test_leaving_early_stops_the_node_and_the_writer(self, run: Run, box: NodeBox) -> None:
        async def story(link: AsyncConnection) -> None:
            stream = await Stream.open(link, RecordsApi.push)
            await stream.send(range(10), texts(10))
            answers = await stream.receive()
            assert isinstance(answers, list)
            stream.answers.close("enough")
            with pytest.raises(ClosedError):
                while True:
                    await stream.send(range(100), texts(100, filler="x" * 1000))
            quiet = await Stream.open(link, RecordsApi.pull)
            quiet.answers.close()
            broken = await Stream.open(link, RecordsApi.lookup)
            with pytest.raises(ClosedError):
                await broken.requests.fail("the source broke")
                raise ClosedError("it had read the failure already")
            while (await invoke(link, RecordsApi.stats)).streams:
                await asyncio.sleep(0)

        in_box(run, box, story)

    def test_a_consumer_that_stops_makes_the_producer_stop(self, run: Run, box: NodeBox) -> None:
        async def story(link: AsyncConnection) -> None:
            (cid,) = [body for _, _, body in await exchange(link, RecordsApi.push, texts(1, filler="x" * 500_000))]
            stream = await Stream.open(link, RecordsApi.pull)
            sent = 0

            async def send() -> None:
                nonlocal sent
                for number in range(0, 1_000_000, 1_000):
                    await stream.send(range(number, number + 1_000), [cid] * 1_000)
                    sent += 1_000

            sending = asyncio.create_task(send())
            before = -1
            while sent != before or not sent:
                before = sent
                await asyncio.wait([sending], timeout=0.3)
            assert sent < 500_000, "what was not read filled the windows, and then nothing was sent"
            assert isinstance(await stream.receive(), list)
            stream.answers.close()
            with pytest.raises(ClosedError):
                await sending

        in_box(run, box, story)

    def test_so_many_streams_and_no_more(self, run: Run, box: NodeBox) -> None:
        async def story(link: AsyncConnection) -> None:
            open_ones = [await Stream.open(link, RecordsApi.lookup) for _ in range(3)]
            with pytest.raises(LimitExceeded) as caught:
                await Stream.open(link, RecordsApi.push)
            assert caught.value.name == "record_streams_max"
            for stream in open_ones:
                await stream.requests.close()
                assert await stream.rest() == ([], End(0))
            assert (await exchange(link, RecordsApi.pull, [MISSING]))[0][1] == ERROR

        in_box(run, box, story)


class TestCommands:
    def test_tags_referrers_lists_and_collection(self, run: Run, box: NodeBox) -> None:
        async def story(link: AsyncConnection) -> None:
            given = texts(3, annotations={"story": "commands"}, version="v1")
            one, two, three = (body.decode() for _, _, body in await exchange(link, RecordsApi.push, given))
            meta = await invoke(link, RecordsApi.stat, one)
            assert (meta.cid, meta.name, meta.version, meta.annotations) == (one, "r0", "v1", {"story": "commands"})
            assert meta.size_bytes == len(canonical_json(json.loads(given[0])))
            tag = await invoke(link, RecordsApi.tag, "story/commands", "v1", one)
            assert await invoke(link, RecordsApi.resolve, "story/commands") == tag
            assert await invoke(link, RecordsApi.tags, "story/commands") == [tag]
            made = await invoke(link, RecordsApi.push_referrer, two, "scan", b'{"clean":true,"n":1.5}', {"by": "me"})
            assert (made.record_cid, made.data, made.annotations) == (two, {"clean": True, "n": 1.5}, {"by": "me"})
            assert await invoke(link, RecordsApi.referrers, two) == [made]
            found = await invoke(link, RecordsApi.list, annotations={"story": "commands"})
            assert {meta.cid for meta in found} == {one, two, three}
            assert await invoke(link, RecordsApi.list, name="r1", annotations={"story": "commands"}) == [
                await invoke(link, RecordsApi.stat, two)
            ]
            assert (await invoke(link, RecordsApi.why, two, 0.0)).reasons == ["referrer"]
            assert (await invoke(link, RecordsApi.why, three)).reasons == ["grace"]
            report = await invoke(link, RecordsApi.gc, dry_run=True, grace_s=0.0)
            assert three in report.removed_cids
            assert not {one, two} & set(report.removed_cids)
            assert await invoke(link, RecordsApi.delete_referrers, two) == [made.cid]
            assert await invoke(link, RecordsApi.untag, "story/commands", "v1") is True
            assert await invoke(link, RecordsApi.untag, "story/commands", "v1") is False
            for refused in (
                invoke(link, RecordsApi.stat, MISSING.decode()),
                invoke(link, RecordsApi.resolve, "story/commands"),
            ):
                with pytest.raises(NotFound):
                    await refused
            for data in (b"[]", b"", b"{"):
                with pytest.raises(UsageError) as caught:
                    await invoke(link, RecordsApi.push_referrer, two, "scan", data)
                assert caught.value.field == "data"

        in_box(run, box, story)

    def test_the_feed_is_followed(self, run: Run, box: NodeBox) -> None:
        async def story(link: AsyncConnection) -> None:
            reader = link.open_reader()
            start = await invoke(link, RecordsApi.follow, reader.stream_id)
            assert isinstance(start, FeedPage)
            reader.start()
            pushed = await exchange(link, RecordsApi.push, texts(500, story="feed"))
            lines = b""
            while lines.count(b"\n") < 500:
                item = await reader.read()
                assert isinstance(item, Chunk)
                lines += item.data
            entries = [json.loads(line) for line in lines.splitlines()]
            assert [entry["cid"].encode() for entry in entries] == [cid for _, _, cid in pushed]
            assert [entry["position"] for entry in entries] == list(
                range(start.next_position, start.next_position + 500)
            )
            page = await invoke(link, RecordsApi.feed, start.next_position, 10)
            assert [entry.cid for entry in page.entries] == [entry["cid"] for entry in entries[:10]]
            reader.close()
            with pytest.raises(UsageError):
                await invoke(link, RecordsApi.feed, 1 << 40)

        in_box(run, box, story)

    def test_an_artifact(self, run: Run, box: NodeBox) -> None:
        async def story(link: AsyncConnection) -> None:
            content = sha256(b"x").digest() * 50_000
            cid = cid_of_digest(sha256(content).digest(), RAW)
            upload = await invoke(link, RecordsApi.begin_upload, len(content), cid, "application/x-test")
            part = 1 << 19
            for offset in range(0, len(content), part):
                upload = await invoke(link, RecordsApi.upload, upload.id, offset, content[offset : offset + part])
            assert upload.offset == len(content)
            made = await invoke(link, RecordsApi.commit_upload, upload.id, cid)
            assert (made.cid, made.size_bytes, made.sha256) == (cid, len(content), sha256(content).hexdigest())
            found = b""
            while data := await invoke(link, RecordsApi.read_artifact, cid, len(found)):
                found += data
            assert found == content
            with pytest.raises(AlreadyExists):
                await invoke(link, RecordsApi.begin_upload, 0, cid)
            assert await invoke(link, RecordsApi.delete_artifact, cid) is True
            with pytest.raises(NotFound):
                await invoke(link, RecordsApi.artifact, cid)

        in_box(run, box, story)


class TestRights:
    def token(self, box: NodeBox, *scopes: str) -> str:
        arguments = [argument for scope in scopes for argument in ("--scope", scope)]
        return box.run("token", "mint", "--sub", "somebody", *arguments).stdout.decode().strip()

    def test_reading_is_not_writing(self, run: Run, box: NodeBox) -> None:
        url = box.listening("tcp")

        async def denied(link: AsyncConnection, method: Any, *arguments: Any) -> None:
            with pytest.raises(PermissionDenied):
                await invoke(link, method, *arguments)

        async def main() -> None:
            async with link_to(box, url, token=self.token(box, "records:write")) as writer:
                ((_, status, cid),) = await exchange(writer, RecordsApi.push, [b'{"story":"rights"}'])
                assert status in (OK, EXISTED)
                await denied(writer, RecordsApi.pull, 1_001, 1_003)
                await denied(writer, RecordsApi.stat, cid.decode())
            async with link_to(box, url, token=self.token(box, "records:read")) as reader:
                assert (await exchange(reader, RecordsApi.pull, [cid]))[0][1] == OK
                await denied(reader, RecordsApi.push, 1_001, 1_003)
                await denied(reader, RecordsApi.delete, 1_001, 1_003)
                await denied(reader, RecordsApi.gc)
                await denied(reader, RecordsApi.tag, "a", "1", cid.decode())

        run(main())


class TestSealing:
    def sealed(self, run: Run, box: NodeBox, job: str, method: Any = RecordsApi.seal) -> Sealed:
        found: Sealed = in_box(run, box, lambda link: invoke(link, method, job))
        return found

    def test_a_job_that_ends_is_sealed_and_can_be_proven(self, run: Run, box: NodeBox) -> None:
        box.run("run", "--name", "sealed", "--no-tty", "--", "sh", "-c", "seq 1000; exit 3", code=None)
        content = "".join(f"{number}\n" for number in range(1, 1001)).encode()
        found = self.sealed(run, box, "sealed")
        assert found.output_cid == cid_of_digest(sha256(content).digest(), RAW)
        assert (found.size_bytes, found.gap_bytes, found.verified) == (len(content), 0, False)
        assert self.sealed(run, box, "sealed", RecordsApi.verify).verified

        async def story(link: AsyncConnection) -> None:
            ((_, status, body),) = await exchange(link, RecordsApi.pull, [found.record_cid.encode()])
            record = json.loads(body)
            assert status == OK
            assert (record["name"], record["exit_code"], record["command"][0]) == ("sealed", 3, "sh")
            assert record["output"]["cid"] == found.output_cid
            assert "job" in (await invoke(link, RecordsApi.why, found.record_cid, 0.0)).reasons
            with pytest.raises(NotFound):
                await invoke(link, RecordsApi.verify, "nobody")

        in_box(run, box, story)
        box.run("rm", "sealed")
        reasons = in_box(run, box, lambda link: invoke(link, RecordsApi.why, found.record_cid, 0.0)).reasons
        assert reasons == []

    def test_not_while_it_runs(self, run: Run, box: NodeBox) -> None:
        box.run("run", "-d", "--name", "running", "--", "sleep", "1000")
        with pytest.raises(Conflict):
            self.sealed(run, box, "running")
        box.run("stop", "running")
        box.run("wait", "running", code=None)
        assert self.sealed(run, box, "running").size_bytes == 0


def test_what_ended_while_no_node_ran_is_sealed_by_the_next_and_damage_shows(run: Run) -> None:
    with NodeBox.temporary() as box:
        box.start_node()
        box.run("run", "-d", "--name", "job", "--no-tty", "--", "sh", "-c", "echo one; read line; echo $line")
        wait_until(lambda: box.inspect("job")["output_bytes"] == 4, "the first line is there")
        box.kill_node()
        box.start_node()
        box.run("send", "job", input=b"two\n")
        box.run("wait", "job")

        async def story(link: AsyncConnection) -> Sealed:
            sealed = await invoke(link, RecordsApi.seal, "job")
            assert (await invoke(link, RecordsApi.verify, "job")).verified
            return sealed

        first: Sealed = in_box(run, box, story)
        assert first.output_cid == cid_of_digest(sha256(b"one\ntwo\n").digest(), RAW)
        box.kill_node()
        box.start_node()
        assert in_box(run, box, story) == first, "sealed once, and the same"
        assert box.node is not None
        box.node.terminate()
        box.node.wait()
        damage(box)
        box.start_node()
        with pytest.raises(CorruptionError):
            in_box(run, box, lambda link: invoke(link, RecordsApi.verify, "job"))


def damage(box: NodeBox) -> None:
    """Change what the job printed, checksums and all."""
    import sqlite3
    from zlib import crc32

    connection = sqlite3.connect(box.state_dir / "engine" / "holdfast.db")
    for row, data in connection.execute("SELECT id, data FROM run WHERE data IS NOT NULL").fetchall():
        changed = bytes(data).replace(b"two\n", b"2wo\n")
        connection.execute("UPDATE run SET data = ?, crc = ? WHERE id = ?", (changed, crc32(changed), row))
    connection.commit()
    connection.close()


def test_what_was_answered_survives_a_killed_node(run: Run) -> None:
    with NodeBox.temporary() as box:
        box.start_node()

        async def push(link: AsyncConnection) -> list[bytes]:
            stream = await Stream.open(link, RecordsApi.push)
            answered: list[bytes] = []
            killed = False

            async def send() -> None:
                number = 0
                while True:
                    await stream.send(range(number, number + 50), texts(50, batch=number))
                    number += 50

            sending = asyncio.create_task(send())
            try:
                while isinstance(answers := await stream.receive(), list):
                    answered += [body for _, status, body in answers if status == OK]
                    if len(answered) > 2_000 and not killed:
                        killed = True
                        box.kill_node()
            except HoldfastError:
                pass
            await asyncio.wait([sending])
            assert isinstance(sending.exception(), HoldfastError)
            return answered

        answered: list[bytes] = in_box(run, box, push)
        assert len(answered) > 2_000
        box.start_node()
        found = in_box(run, box, lambda link: exchange(link, RecordsApi.pull, answered))
        assert {status for _, status, _ in found} == {OK}
