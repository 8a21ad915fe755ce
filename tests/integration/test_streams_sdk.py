"""Durable streams through the SDK, async and blocking, against a real node."""

from __future__ import annotations

import asyncio
import json
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

import holdfast
from holdfast.testing import NodeBox

Run = Callable[[Coroutine[Any, Any, Any]], Any]

BIG = 3 << 20
"""More than one request holds, and than one window."""


def connect(box: NodeBox) -> holdfast.Node:
    return holdfast.connect(box.url, autostart=False)


def connect_sync(box: NodeBox) -> holdfast.SyncNode:
    return holdfast.connect_sync(box.url, autostart=False)


def test_bytes_there_and_back(node_box: NodeBox, run: Run) -> None:
    big = random.Random(1).randbytes(BIG)

    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.streams.create("logs/one", content_type="text/plain", data="first ")
            assert log.created and log.last_info is not None and log.last_info.tail == 6
            assert not (await node.streams.create("logs/one", content_type="text/plain")).created
            assert (await log.append(b"second ")).tail == 13
            assert (await log.append(big)).tail == 13 + BIG
            assert await log.read_bytes() == b"first second " + big
            assert await log.read_bytes(6) == b"second " + big
            assert await log.read_bytes(-5) == big[-5:]
            assert await log.read_bytes(-10 * BIG) == b"first second " + big
            assert await log.read_bytes("now") == b""
            chunks = [chunk async for chunk in log.read(13)]
            assert chunks[0].position == 13 and chunks[-1].end == 13 + BIG
            assert all(a.end == b.position for a, b in pairwise(chunks))
            assert [info.path for info in await node.streams.list("logs/")] == ["logs/one"]
            assert (await log.close()).closed and (await log.close()).closed
            with pytest.raises(holdfast.ClosedError):
                await log.append("late")
            await log.remove()
            with pytest.raises(holdfast.NotFound):
                await log.info()

    run(main())


def test_messages_there_and_back(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.streams.create("j", content_type="application/json", data={"n": 0})
            assert (await log.append([{"n": 1}, [2], "three"])).tail == 4
            assert (await log.append('{"n":\n4}')).tail == 5
            values = [(chunk.position, chunk.json()) async for chunk in log.read()]
            assert values == [(0, {"n": 0}), (1, {"n": 1}), (2, [2]), (3, "three"), (4, {"n": 4})]
            assert [chunk.text async for chunk in log.read(-2)] == ['"three"', '{"n": 4}']
            long = "x" * BIG
            assert (await log.append([long, 6])).tail == 7
            assert [chunk.json() async for chunk in log.read(5)] == [long, 6]
            for wrong in ("not json", b"\xff", "[]"):
                with pytest.raises(holdfast.UsageError, match="body"):
                    await log.append(wrong)
            with pytest.raises(holdfast.Conflict, match="text/plain"):
                await log.append("1", content_type="text/plain")

    run(main())


def test_a_fork_goes_on_by_itself(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            source = await node.streams.create("source", data="0123456789", content_type="text/plain", ttl_s=3600)
            fork = await node.streams.fork("source", "forks/a", at=5)
            other = await node.streams.fork("source", "forks/b", at=-1, ttl_s=60)
            await fork.append("fork")
            await source.append("source")
            assert await fork.read_bytes() == b"01234fork"
            assert await other.read_bytes() == b"012345678"
            info = await other.info()
            assert (info.source, info.ttl_s, info.content_type) == ("source", 60, "text/plain")
            assert (await fork.info()).ttl_s == 3600
            await source.remove()
            assert await fork.read_bytes(3) == b"34fork"
            with pytest.raises(holdfast.Gone, match="forks live on"):
                await source.info()
            with pytest.raises(holdfast.Conflict):
                await node.streams.create("source")
            with pytest.raises(holdfast.UsageError, match="beyond"):
                await node.streams.fork("forks/a", "forks/c", at=100)
            with pytest.raises(holdfast.NotFound):
                await node.streams.fork("none", "forks/c")

    run(main())


def test_what_cannot_be_is_said_by_name(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            streams = node.streams
            for path in ("jobs/x", "channels/p/c", "__ds/x", "jobs"):
                for wrong in (streams.create(path), streams.stream(path).append("x"), streams.stream(path).remove()):
                    with pytest.raises(holdfast.UsageError, match=path.partition("/")[0]) as caught:
                        await wrong
                    assert caught.value.field == "path"
            with pytest.raises(holdfast.UsageError, match="fork_of"):
                await streams.fork("jobs/x/output", "copy")
            options: list[dict[str, Any]] = [
                {"ttl_s": -1}, {"ttl_s": 1, "expires_at_s": 1e9}, {"expires_at_s": 1e15},
                {"content_type": "text/plain\r\nX-Evil: 1"}, {"content_type": "text"},
            ]  # fmt: skip
            for wrong_options in options:
                with pytest.raises(holdfast.UsageError) as caught:
                    await streams.create("s", **wrong_options)
                assert caught.value.field in wrong_options
            for path in ("", "a//b", "../a", "a\n", "a" * 500):
                with pytest.raises(holdfast.UsageError, match="path"):
                    await streams.create(path)
            stream = await streams.create("s", content_type="text/plain")
            for mark in (holdfast.ProducerMark(""), holdfast.ProducerMark("p", -1), holdfast.ProducerMark("p", 0, -1)):
                with pytest.raises(holdfast.UsageError, match="producer"):
                    await stream.append("x", producer=mark)
            with pytest.raises(holdfast.UsageError, match="body"):
                await stream.append("")
            with pytest.raises(holdfast.UsageError):
                await stream.append("x", producer=holdfast.ProducerMark("p", 0, 5))
            await stream.append("x", sequence="b")
            with pytest.raises(holdfast.Conflict, match="'a'"):
                await stream.append("x", sequence="a")
            with pytest.raises(holdfast.Conflict, match="created otherwise"):
                await streams.create("s", content_type="text/html")
            with pytest.raises(holdfast.LimitExceeded, match="stream_append_bytes_max"):
                await stream.append(b"x" * ((32 << 20) + 1))

    run(main())


def test_a_producers_appends_are_there_once(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.streams.create("p")
            mark = holdfast.ProducerMark("ann", 0, 0)
            assert not (await log.append("one ", producer=mark)).duplicate
            assert (await log.append("one ", producer=mark)).duplicate
            ann = log.producer("ann", sequence=1)
            assert (await ann.append("two ")).tail == 8
            heir = log.producer("ann", epoch=1)
            await heir.append("three ")
            with pytest.raises(holdfast.HoldfastError, match="epoch 1"):
                await ann.append("late")
            assert heir.next_sequence == 1
            await asyncio.gather(*(heir.append(f"{number} ") for number in range(5)))
            assert (await heir.close()).closed
            assert (await log.append(close=True, producer=holdfast.ProducerMark("ann", 1, 6))).duplicate
            assert await log.read_bytes() == b"one two three 0 1 2 3 4 "

    run(main())


def test_a_cancelled_append_of_a_producer_is_finished_by_the_next(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.streams.create("p")
            ann = log.producer("ann")
            expected = b""
            for number in range(40):
                data = b"%d " % number
                append = asyncio.create_task(ann.append(data))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                append.cancel()
                await asyncio.wait([append])
                if append.cancelled():
                    await ann.append(data)  # its repetition, if it was begun
                expected += data
                assert ann.next_sequence == number + 1
            assert await log.read_bytes() == expected

    run(main())


def test_a_cancelled_step_loses_nothing(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.streams.create("j", content_type="application/json")
            reading = log.read(follow=True)
            received: list[int] = []
            for number in range(60):
                step = asyncio.ensure_future(anext(reading))
                for _ in range(number % 9):
                    await asyncio.sleep(0)
                if step.cancel() or not step.done():
                    await asyncio.wait([step])
                if not step.cancelled():
                    received.append(step.result().json())
                await log.append(number)
            await log.close()
            received += [chunk.json() async for chunk in reading]
            assert received == list(range(60))

    run(main())


def test_producers_and_followers_outlive_a_killed_node(node_box: NodeBox, run: Run) -> None:
    """Each append is there once and in order; every follower sees all of it, and the end last."""
    rounds = 100

    async def produce(path: str, name: str) -> None:
        async with connect(node_box) as node:
            producer = node.streams.stream(path).producer(name)
            for number in range(rounds):
                await producer.append({"from": name, "number": number} if path == "json" else f"{name}{number}\n")
                if number == rounds // 2 and path == "bytes":
                    await producer.append(f"{name}{'x' * BIG}\n")

    async def follow(path: str) -> bytes:
        async with connect(node_box) as node:
            reading = node.streams.stream(path).read(follow=True)
            return b"".join([chunk.data + b"\n" * reading.lines async for chunk in reading])

    async def main() -> None:
        async with connect(node_box) as node:
            for path, content_type in (("bytes", "text/plain"), ("json", "application/json")):
                await node.streams.create(path, content_type=content_type)
            producers = asyncio.gather(*(produce(path, name) for path in ("bytes", "json") for name in "ab"))
            followers = [asyncio.create_task(follow(path)) for path in ("bytes", "json") * 2]
            while (await node.streams.stream("bytes").info()).tail < 50:
                await asyncio.sleep(0)
            await asyncio.to_thread(node_box.kill_node)
            await asyncio.to_thread(node_box.start_node)
            await producers
            for path in ("bytes", "json"):
                await node.streams.stream(path).close()
            stories = await asyncio.gather(*followers)
            for place, path in enumerate(("bytes", "json")):
                assert stories[place] == stories[place + 2] == await node.streams.stream(path).read_bytes()
            lines = stories[0].decode().splitlines()
            values = [json.loads(line) for line in stories[1].splitlines()]
            for name in "ab":
                own = [line for line in lines if line.startswith(name) and len(line) < 10]
                assert own == [f"{name}{number}" for number in range(rounds)]
                assert lines.count(name + "x" * BIG) == 1
                assert [each["number"] for each in values if each["from"] == name] == list(range(rounds))

    run(main())


def test_the_blocking_twin(node_box: NodeBox) -> None:
    big = random.Random(2).randbytes(BIG)
    with connect_sync(node_box) as node:
        log = node.streams.create("bytes", content_type="text/plain", data="first ")
        assert log.created and log.last_info is not None
        seen: list[int] = []
        assert log.append(big, progress=seen.append).tail == 6 + BIG
        assert seen == sorted(seen) and seen[-1] <= BIG
        assert log.read_bytes() == b"first " + big
        assert [chunk.position for chunk in log.read(-1)] == [5 + BIG]
        reading = log.read("now", follow=True)
        with pytest.raises(holdfast.DeadlineExceeded):
            reading.read(timeout_s=0.01)
        log.append("x")
        chunk = reading.read()
        assert chunk is not None and (chunk.data, reading.position) == (b"x", 7 + BIG)
        producer = log.producer("ann")
        expected = b""
        for number in range(60):
            if number == 30:
                node_box.kill_node()
                node_box.start_node()
            producer.append(b"%d " % number)
            expected += b"%d " % number
        assert (producer.id, producer.epoch, producer.next_sequence) == ("ann", 0, 60)
        producer.close()
        assert b"".join(chunk.data for chunk in reading) == expected
        assert [info.path for info in node.streams.list()] == ["bytes"]
        fork = node.streams.fork("bytes", "fork", at=5)
        assert fork.read_bytes() == b"first"
        fork.close()
        fork.remove()
        with pytest.raises(holdfast.NotFound):
            node.streams.get("fork")
        values = node.streams.create("json", content_type="application/json", data=[1, [2]])
        assert [chunk.json() for chunk in values.read()] == [1, [2]]
        assert values.read_bytes() == b"1\n[2]\n"


def test_a_stream_made_again_during_an_outage_is_not_taken_for_the_old_one(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            await node.streams.create("s", data="one")
            reading = node.streams.stream("s").read(follow=True)
            assert (await anext(reading)).data == b"one"
            held = await node._link.connection()
            held.wire.abort()  # the link is cut, and before it is back the stream is another one
            async with connect(node_box) as other:
                await other.streams.stream("s").remove()
                await other.streams.create("s", data="another")
            with pytest.raises(holdfast.StreamReplaced) as caught:
                await anext(reading)
            assert caught.value.oldest == 0
            assert isinstance(caught.value, holdfast.Gone)
            assert await node.streams.stream("s").read_bytes() == b"another"

    run(main())


def test_many_streams_are_listed_in_pages(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            paths = [f"many/{number:04}" for number in range(1100)]
            for some in (paths[:600], [*paths[600:], "other"]):
                await asyncio.gather(*(node.streams.create(path) for path in some))
            assert [info.path for info in await node.streams.list("many/")] == paths
            assert len(await node.streams.list()) == 1101
            assert await node.streams.list("nothing") == []

    run(main())


def test_job_outputs_and_channels_are_read_as_streams(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            job = await node.jobs.start(["sh", "-c", "echo one; echo two"], channels=["chat"], name="echoes")
            output = await node.streams.get(f"jobs/{job.id}/output")
            assert b"".join([chunk.data async for chunk in output.read(follow=True)]) == b"one\ntwo\n"
            assert await node.streams.stream("jobs/echoes/output").read_bytes(4) == b"two\n"
            await node.channels.create("p", "c")
            await node.channels.channel("p/c").append("hello")
            entries = [chunk.json() async for chunk in node.streams.stream("channels/p/c").read()]
            assert [(entry["index"], entry["payload"]) for entry in entries] == [(1, "hello")]
            for nothing in ("jobs/none/output", "jobs/echoes", "channels/p/none", "channels/p", "__ds/x"):
                with pytest.raises(holdfast.NotFound) as caught:
                    await node.streams.get(nothing)
                assert (caught.value.kind, caught.value.name) == ("stream", nothing)
                with pytest.raises(holdfast.NotFound):
                    await anext(node.streams.stream(nothing).read())
            assert await node.streams.list() == []

    run(main())


class Door:
    """The node's HTTP door, without tokens."""

    def __init__(self, box: NodeBox) -> None:
        self.url = box.listening("http") + "/v1/stream/"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def test_the_same_stream_over_http_and_over_rpc(box: NodeBox, run: Run) -> None:
    box.start_node("--http", "127.0.0.1:0", "--http-open")
    door = Door(box)

    async def main() -> None:
        async with connect(box) as node:
            door.ask("PUT", "made/there", b"http ", Content_Type="text/plain", Stream_TTL="3600")
            there = node.streams.stream("made/there")
            await there.append("rpc ", producer=holdfast.ProducerMark("ann", 0, 0))
            marked = {"Producer_Id": "ann", "Producer_Epoch": "0"}
            door.ask("POST", "made/there", b"rpc ", Content_Type="text/plain", **marked, Producer_Seq="0")
            door.ask("POST", "made/there", b"http", Content_Type="text/plain", **marked, Producer_Seq="1")
            assert await there.read_bytes() == door.ask("GET", "made/there")[1] == b"http rpc http"
            info = await there.info()
            assert (info.tail, info.ttl_s, info.content_type) == (13, 3600, "text/plain")
            headers, body = door.ask("GET", f"made/there?offset={5:016}")
            assert body == await there.read_bytes(5)
            assert int(headers["stream-next-offset"].rpartition("_")[2]) == info.tail
            here = await node.streams.create("made/here", content_type="application/json", data=[1])
            door.ask("POST", "made/here", b"[[2], 3]", Content_Type="application/json", Stream_Closed="true")
            assert [chunk.json() async for chunk in here.read(follow=True)] == [1, [2], 3]
            await here.remove()
            with pytest.raises(urllib.error.HTTPError, match="404"):
                door.ask("GET", "made/here")

    run(main())


def test_streams_are_for_those_who_may(box: NodeBox, run: Run) -> None:
    box.start_node("--listen", "tcp://127.0.0.1:0")
    address = box.listening("tcp")
    with connect_sync(box) as owner:
        job = owner.jobs.start(["cat"], name="theirs")
        owner.streams.create("s", data="secret", content_type="text/plain")
        tokens = {
            "writer": owner.tokens.mint("writer", ["streams:write"]).token,
            "reader": owner.tokens.mint("reader", ["streams:read"]).token,
            "watcher": owner.tokens.mint("watcher", ["jobs:read"]).token,
            "bound": owner.tokens.mint("bound", ["streams:read", "streams:write", "jobs:read"], job=job.id).token,
        }

    async def main() -> None:
        async def denied(*asked: Coroutine[Any, Any, Any], error: type[Exception]) -> None:
            for one in asked:
                with pytest.raises(error):
                    await one

        async with (
            holdfast.connect(address, token=tokens["writer"]) as writer,
            holdfast.connect(address, token=tokens["reader"]) as reader,
            holdfast.connect(address, token=tokens["watcher"]) as watcher,
            holdfast.connect(address, token=tokens["bound"]) as bound,
        ):
            await writer.streams.stream("s").append("!")
            assert await reader.streams.stream("s").read_bytes() == b"secret!"
            theirs = reader.streams.stream("s")
            await denied(
                theirs.append("x"), theirs.close(), theirs.remove(), reader.streams.create("t"),
                writer.streams.get("s"), writer.streams.stream("s").read_bytes(), writer.streams.list(),
                writer.streams.fork("source", "t"), watcher.streams.get("s"),
                reader.streams.get(f"jobs/{job.id}/output"), reader.streams.get("channels/p/c"),
                error=holdfast.PermissionDenied,
            )  # fmt: skip
            output = f"jobs/{job.id}/output"
            assert (await watcher.streams.get(output)).path == output
            assert (await bound.streams.get("jobs/theirs/output")).path == "jobs/theirs/output"
            assert await bound.streams.list() == []
            answers = []
            for path in ("s", "none", "jobs/none/output", "channels/p/c"):
                with pytest.raises(holdfast.HoldfastError) as caught:
                    await bound.streams.get(path)
                if path != "channels/p/c":  # for which its scope is missing
                    answers.append((type(caught.value), str(caught.value).replace(repr(path), "PATH")))
            assert set(answers) == {(holdfast.NotFound, "no stream PATH")}
            await denied(bound.streams.fork("s", "t"), bound.streams.stream("s").append("x"), error=holdfast.NotFound)

    run(main())
    audit = [json.loads(line) for line in (box.state_dir / "audit.log").read_text().splitlines()]
    denials = {(line["by"], line["action"], line.get("resource")) for line in audit if line["event"] == "denied"}
    assert {
        ("reader", "streams.write", "s"),
        ("writer", "streams.read", "s"),
        ("bound", "streams.read", "s"),
    } <= denials


def test_a_revoked_token_is_replaced_and_the_reading_goes_on(box: NodeBox, run: Run) -> None:
    box.start_node("--listen", "tcp://127.0.0.1:0")
    address = box.listening("tcp")
    with connect_sync(box) as owner:
        log = owner.streams.create("s", content_type="text/plain")
        minted: list[str] = []

        def fresh() -> str:
            """Another token each time."""
            made = owner.tokens.mint("ann", ["streams:read"])
            minted.append(made.info.id)
            return made.token

        async def main() -> None:
            async with holdfast.connect(address, token_callback=fresh) as node:
                reading = node.streams.stream("s").read(follow=True)
                for number in range(3):
                    log.append(f"{number}")
                    assert (await anext(reading)).text == f"{number}"
                    owner.tokens.revoke(minted[-1])
                log.close()
                assert [chunk async for chunk in reading] == []

        run(main())
        assert len(minted) == 4
