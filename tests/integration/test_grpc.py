"""The gRPC door and our client of it, over a real store and a real connection."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from holdfast.clock import RealClock
from holdfast.engine.memory import MemoryEngine
from holdfast.errors import (
    BusyError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    RateLimited,
    RecordStreamError,
    Unauthenticated,
    Unavailable,
    UsageError,
)
from holdfast.grpc import wire
from holdfast.grpc.client import GrpcRecords
from holdfast.grpc.door import GrpcDoor
from holdfast.grpc.settings import GrpcSettings
from holdfast.limits import LIMITS
from holdfast.node.grpc.records import GrpcRecords as NodeRecords
from holdfast.records.store import RecordStore
from holdfast.testing import NodeBox


class Gate:
    """Knows two tokens, and can forget them."""

    def __init__(self) -> None:
        self.tokens = {"Bearer writer": {"read", "write"}, "Bearer reader": {"read"}}

    def authenticate(self, headers: Mapping[str, str], peer: str) -> str:
        token = headers.get("authorization", "")
        if token not in self.tokens:
            raise Unauthenticated("a bearer token is needed")
        return token

    def holder_of(self, identity: Any) -> str:
        return str(identity)

    def check_in_force(self, identity: Any) -> None:
        if identity not in self.tokens:
            raise Unauthenticated("the token was revoked")

    def authorize(self, identity: Any, action: str, resource: str, peer: str = "") -> None:
        assert resource == "records"
        if action not in self.tokens[identity]:
            raise PermissionDenied("a reader writes nothing")


class Served:
    """A door that is open, and what is behind it."""

    def __init__(self, door: GrpcDoor, gate: Gate, store: RecordStore) -> None:
        self.door = door
        self.gate = gate
        self.store = store
        self.address = f"127.0.0.1:{door.port}"

    def client(self, token: str = "writer") -> GrpcRecords:
        return GrpcRecords(self.address, token=token)


@asynccontextmanager
async def served(**limits: int) -> AsyncIterator[Served]:
    engine = MemoryEngine()
    await engine.start()
    bounds = LIMITS._replace(**limits)
    store = RecordStore(engine, clock=RealClock(), limits=bounds)
    await store.open()
    records, gate = NodeRecords(store, bounds), Gate()
    door = GrpcDoor(GrpcSettings("127.0.0.1", 0), records, gate, limits=bounds)
    await door.open()
    try:
        yield Served(door, gate, store)
    finally:
        await door.close()
        await records.close()
        await engine.stop()


def run(story: Callable[[Served], Awaitable[None]], **limits: int) -> None:
    async def main() -> None:
        async with served(**limits) as door:
            await story(door)

    asyncio.run(main())


def agents(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"name": f"agent-{number}", "version": "1.0.0", "annotations": {"n": str(number)}, "weight": number / 7}


def test_what_is_pushed_is_found_and_deleted() -> None:
    async def story(door: Served) -> None:
        async with door.client() as client:
            pushed = [result async for result in client.push_stream(agents(700))]
            assert [result.index for result in pushed] == list(range(700))
            cids = [result.ref.cid for result in pushed if result.ref]
            pulled = [result.record async for result in client.pull_stream(cids)]
            assert pulled == list(agents(700))
            metas = [result.meta async for result in client.lookup_stream(cids[:3])]
            assert [meta.annotations for meta in metas if meta] == [{"n": "0"}, {"n": "1"}, {"n": "2"}]
            deleted = [result.error async for result in client.delete_stream([*cids[:300], cids[0]])]
            assert deleted == [None] * 301
            left = [result async for result in client.pull_stream(cids[298:302])]
            assert [isinstance(result.error, NotFound) for result in left] == [True, True, False, False]

    run(story)


@pytest.mark.parametrize("failing", [2, 10, 40])
def test_items_that_fail_fail_alone_and_nothing_hangs(failing: int) -> None:
    async def story(door: Served) -> None:
        items: list[Any] = list(agents(40))
        unknown = "baeareigz24m3e5eawvonjemaedtuoptrn3jvnhek3l7je3hzwefu7dxqmq"
        async with door.client() as client:
            cids = [result.ref.cid async for result in client.push_stream(items) if result.ref]
            wanted = [cid if at % (40 // failing) else unknown for at, cid in enumerate(cids)]
            found = [result async for result in client.pull_stream(wanted)]
            assert [result.index for result in found] == list(range(40))
            for at, result in enumerate(found):
                if wanted[at] == unknown:
                    assert isinstance(result.error, NotFound)
                else:
                    assert result.record == items[at]

    run(story)


def test_what_cannot_be_sent_is_that_items_result() -> None:
    async def story(door: Served) -> None:
        inputs = ["no record", {"n": float("nan")}, {"big": "x" * LIMITS.record_bytes_max}, {"fine": True}]
        async with door.client() as client:
            found = [result async for result in client.push_stream(inputs)]
            assert [type(result.error) for result in found] == [UsageError, UsageError, LimitExceeded, type(None)]
            refs = [result async for result in client.lookup_stream(["no cid"])]
            assert isinstance(refs[0].error, UsageError)
            with pytest.raises(UsageError, match="items"):
                await anext(client.pull_stream("baeare"))

    run(story)


def test_an_error_of_the_inputs_comes_after_the_results_before_it() -> None:
    async def story(door: Served) -> None:
        def inputs() -> Iterator[dict[str, Any]]:
            yield from agents(3)
            raise OSError("the file went away")

        got = []
        async with door.client() as client:
            with pytest.raises(OSError, match="went away"):
                async for result in client.push_stream(inputs()):
                    got.append(result.index)  # noqa: PERF401 - what came before the error is the point
        assert got == [0, 1, 2]

    run(story)


@pytest.mark.parametrize(("token", "error"), [("", Unauthenticated), ("reader", PermissionDenied)])
def test_nobody_writes_without_a_token_that_may(token: str, error: type[Exception]) -> None:
    async def story(door: Served) -> None:
        async with door.client(token) as client:
            with pytest.raises(RecordStreamError) as caught:
                await anext(client.push_stream(agents(1)))
            assert isinstance(caught.value.__cause__, error)
            assert (caught.value.answered, caught.value.taken) == (0, 1)

    run(story)


def test_a_token_that_is_revoked_ends_its_calls() -> None:
    async def story(door: Served) -> None:
        async with door.client() as client:
            seen = 0
            with pytest.raises(RecordStreamError) as caught:
                async for _ in client.push_stream(agents(100_000)):
                    seen += 1
                    door.gate.tokens.pop("Bearer writer", None)
            assert isinstance(caught.value.__cause__, Unauthenticated)
            assert caught.value.answered == seen < 100_000

    run(story)


def test_nobody_there_is_said_with_how_many_were_answered() -> None:
    async def main() -> None:
        async with GrpcRecords("127.0.0.1:1") as client:
            with pytest.raises(RecordStreamError, match="0 of") as caught:
                await anext(client.push_stream(agents(2)))
            assert isinstance(caught.value.__cause__, Unavailable)

    asyncio.run(main())


def test_a_consumer_that_stops_makes_the_producer_stop() -> None:
    async def story(door: Served) -> None:
        made = 0

        def inputs() -> Iterator[dict[str, Any]]:
            nonlocal made
            for each in agents(1_000_000):
                made += 1
                yield each

        async with door.client() as client:
            results = client.push_stream(inputs())
            for _ in range(10):
                await anext(results)
            await results.aclose()
            assert made < 2_000
        while door.door.calls:
            await asyncio.sleep(0)

    run(story)


def test_calls_whose_share_of_memory_is_taken_go_on_beside_one_that_nobody_reads() -> None:
    async def story(door: Served) -> None:
        async with door.client() as client, aclosing(client.push_stream(agents(200))) as pushed:
            cids = [result.ref.cid async for result in pushed if result.ref]
            async with aclosing(client.pull_stream(cids * 100)) as idle:
                await anext(idle)

                async def pull() -> list[Any]:
                    return [result.record async for result in client.pull_stream(cids)]

                assert await asyncio.gather(*(pull() for _ in range(4))) == [list(agents(200))] * 4

    run(story, grpc_bytes_per_token_max=1)


async def raw_call(door: Served, method: wire.Method, *requests: bytes) -> grpc.StatusCode:
    """One call with bytes of our own; how it ends."""
    async with grpc.aio.insecure_channel(door.address) as channel:
        call = channel.stream_stream(method.path)(iter(requests), metadata=(("authorization", "Bearer writer"),))
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError:
            pass
        return await call.code()


def test_malformed_requests_are_invalid_arguments() -> None:
    async def story(door: Served) -> None:
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        assert await raw_call(door, wire.PUSH, b"\xff\xff\xff") is invalid
        assert await raw_call(door, wire.PUSH, b"") is invalid
        record = wire.Record()
        record.data.fields["n"].number_value = float("inf")
        assert await raw_call(door, wire.PUSH, record.SerializeToString()) is invalid
        assert await raw_call(door, wire.PULL, wire.RecordRef(cid="x").SerializeToString()) is invalid
        assert await raw_call(door, wire.PULL, wire.RecordRef().SerializeToString()) is invalid
        too_big = wire.Record()
        too_big.data.fields["s"].string_value = "x" * (LIMITS.record_bytes_max + 1)
        assert await raw_call(door, wire.PUSH, too_big.SerializeToString()) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await door.store.list("", 0)) == []

    run(story)


def test_referrers_are_attached_read_and_detached() -> None:
    async def story(door: Served) -> None:
        async with door.client() as client:
            cid = (await anext(client.push_stream(agents(1)))).ref.cid  # type: ignore[union-attr]
        async with grpc.aio.insecure_channel(door.address) as channel:

            async def ask(method: wire.Method, *requests: Any) -> list[Any]:
                call = channel.stream_stream(
                    method.path,
                    request_serializer=method.request.SerializeToString,
                    response_deserializer=method.response.FromString,
                )(iter(requests), metadata=(("authorization", "Bearer writer"),))
                return [answer async for answer in call]

            ref = wire.RecordRef(cid=cid)
            wanted = []
            for type_ in ("signature", "scan"):
                request = wire.PushReferrerRequest(record_ref=ref, type=type_, annotations={"by": "us"})
                request.data.fields["ok"].bool_value = True
                wanted.append(request)
            nowhere = wire.PushReferrerRequest(record_ref=wire.RecordRef(cid="nothing"), type="x")
            pushed = await ask(wire.PUSH_REFERRER, *wanted, nowhere)
            assert [answer.success for answer in pushed] == [True, True, False]
            assert pushed[2].error_message
            everything = await ask(wire.PULL_REFERRER, wire.PullReferrerRequest(record_ref=ref))
            assert {answer.referrer.type for answer in everything} == {"signature", "scan"}
            assert {answer.referrer.record_ref.cid for answer in everything} == {cid}
            (scan,) = await ask(wire.PULL_REFERRER, wire.PullReferrerRequest(record_ref=ref, referrer_type="scan"))
            assert scan.referrer.data.fields["ok"].bool_value
            assert dict(scan.referrer.annotations) == {"by": "us"}
            assert scan.referrer.referrer_ref.cid == pushed[1].referrer_ref.cid
            gone = wire.DeleteReferrerRequest(record=ref, referrer_ref=pushed[1].referrer_ref)
            (deleted,) = await ask(wire.DELETE_REFERRER, gone)
            assert [each.cid for each in deleted.referrer_refs] == [pushed[1].referrer_ref.cid]
            (left,) = await ask(wire.PULL_REFERRER, wire.PullReferrerRequest(record_ref=ref))
            assert left.referrer.type == "signature"

    run(story)


def test_health_and_reflection_answer() -> None:
    async def story(door: Served) -> None:
        async with grpc.aio.insecure_channel(door.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for service in ("", wire.STORE_SERVICE):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            request = reflection_pb2.ServerReflectionRequest
            call = reflection.ServerReflectionInfo(
                iter([request(list_services=""), request(file_containing_symbol=wire.STORE_SERVICE)])
            )
            services, file = [answer async for answer in call]
            assert wire.STORE_SERVICE in {each.name for each in services.list_services_response.service}
            assert file.file_descriptor_response.file_descriptor_proto
            await door.door.drain(1.0)

    run(story)


def test_who_needs_no_token_cannot_take_the_calls_of_the_others() -> None:
    async def story(door: Served) -> None:
        async with grpc.aio.insecure_channel(door.address) as channel, door.client() as client:
            health, reflection = health_pb2_grpc.HealthStub(channel), reflection_pb2_grpc.ServerReflectionStub(channel)
            wanted = health_pb2.HealthCheckRequest()
            watch, look = health.Watch(wanted), reflection.ServerReflectionInfo()
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            await look.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            assert (await look.read()).list_services_response.service
            for refused in (health.Watch(wanted), reflection.ServerReflectionInfo()):
                assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert await refused.details() == "grpc_probes_max: 3 is over the limit of 2"
            assert (await health.Check(wanted)).status == health_pb2.HealthCheckResponse.SERVING
            assert [result.error async for result in client.push_stream(agents(2))] == [None, None]
            watch.cancel()
            await look.done_writing()
            assert await look.read() is grpc.aio.EOF
            held: list[Any] = []
            while len(held) < 2:  # both places are there again, as soon as the node has heard of it
                held.append(health.Watch(wanted))
                try:
                    await held[-1].read()
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                    held.pop()
            assert await health.Watch(wanted).code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(story, grpc_probes_max=2)


def test_an_address_that_is_taken_is_named() -> None:
    async def story(door: Served) -> None:
        settings = GrpcSettings("127.0.0.1", door.door.port)
        second = GrpcDoor(settings, NodeRecords(door.store, LIMITS), Gate(), limits=LIMITS)
        with pytest.raises(BusyError, match=str(door.door.port)):
            await second.open()
        await second.close()

    run(story)


def test_calls_that_are_abandoned_leave_nothing_behind() -> None:
    soak_calls = int(os.environ.get("HOLDFAST_SOAK_CALLS", "1500"))
    """Short calls by the thousand, a third of them left in the middle: no call, task or object stays."""

    async def story(door: Served) -> None:
        async with door.client() as client:
            cids = [result.ref.cid async for result in client.push_stream(agents(4)) if result.ref]

            async def one(number: int) -> None:
                results = client.pull_stream(cids)
                if number % 3 == 0:
                    await anext(results)
                    await results.aclose()
                else:
                    assert len([result async for result in results]) == 4

            async def many(first: int, last: int) -> None:
                for start in range(first, last, 32):
                    await asyncio.gather(*(one(number) for number in range(start, min(start + 32, last))))

            await many(0, 320)
            gc.collect()
            tasks, objects = len(asyncio.all_tasks()), len(gc.get_objects())
            await many(0, soak_calls)
            while door.door.calls:
                await asyncio.sleep(0)
            gc.collect()
            assert len(asyncio.all_tasks()) <= tasks + 2
            assert len(gc.get_objects()) < objects + 2_000

    run(story)


@asynccontextmanager
async def severable(port: int) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """A way to ``port``, and what cuts every connection that goes by it, without a goodbye."""
    ends: set[asyncio.StreamWriter] = set()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        ends.update((writer, back))
        for pair in ((reader, back), (there, writer)):
            task = asyncio.create_task(pump(*pair))
            pumps.add(task)
            task.add_done_callback(pumps.discard)

    def cut() -> None:
        for end in ends:
            end.transport.abort()
        ends.clear()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", cut
    finally:
        server.close()
        cut()
        await asyncio.gather(*pumps, return_exceptions=True)


def test_clients_that_vanish_in_the_middle_leave_no_call_task_or_descriptor() -> None:
    exits = int(os.environ.get("HOLDFAST_SOAK_EXITS", "60"))

    async def story(door: Served) -> None:
        async with door.client() as client:
            cids = [result.ref.cid async for result in client.push_stream(agents(4)) if result.ref]

        async def vanish(address: str, cut: Callable[[], None]) -> None:
            own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own, not one that was cut before
            async with grpc.aio.insecure_channel(address, options=own) as channel:
                results = GrpcRecords(address, token="writer", channel=channel).pull_stream(cids * 1_000)
                await anext(results)
                cut()
                await results.aclose()

        async with severable(door.door.port) as (address, cut):
            for _ in range(5):
                await vanish(address, cut)
            gc.collect()
            descriptors, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
            for _ in range(exits):
                await vanish(address, cut)
            while door.door.calls:
                await asyncio.sleep(0)
            gc.collect()
            assert len(asyncio.all_tasks()) <= tasks + 4
            assert len(os.listdir("/proc/self/fd")) <= descriptors + 8

    run(story)


# what one token may take of a node


class Caller:
    """A connection of its own with a token, or none, and calls that stay under way."""

    def __init__(self, address: str, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        own = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.aio.insecure_channel(address, options=own)

    def call(self) -> Any:
        """A call that says nothing yet."""
        method = wire.PUSH
        return self.channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )(metadata=self._metadata)

    async def begin(self) -> Any:
        """A call that has been answered once and goes on."""
        call = self.call()
        record = wire.Record()
        record.data.fields["name"].string_value = "held"
        await call.write(record)
        assert await call.read() is not grpc.aio.EOF
        return call

    async def begin_when_there_is_room(self) -> Any:
        while True:
            try:
                return await self.begin()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # refused, before or while it was written to
                await asyncio.sleep(0)

    async def refusal(self) -> tuple[grpc.StatusCode, str]:
        """How a call ends that is not let in; nothing is written to it, or grpc.aio might lose its status."""
        call = self.call()
        return await call.code(), await call.details()


@asynccontextmanager
async def callers(address: str, *tokens: str) -> AsyncIterator[list[Caller]]:
    found = [Caller(address, token) for token in tokens]
    try:
        yield found
    finally:
        for each in found:
            await each.channel.close()


def start_with_two_calls_each(box: NodeBox, *more: str) -> str:
    box.env["HOLDFAST_LIMIT_GRPC_CALLS_PER_TOKEN_MAX"] = "2"
    box.start_node("--grpc", "127.0.0.1:0", *more)
    return box.listening("grpc").removeprefix("grpc://")


def test_one_token_cannot_take_all_calls(box: NodeBox) -> None:
    address = start_with_two_calls_each(box)
    scopes = ("--scope", "records:read", "--scope", "records:write")
    ann, ben = (box.run("token", "mint", "--sub", who, *scopes).stdout.decode().strip() for who in ("ann", "ben"))

    async def main() -> None:
        async with callers(address, ann, ann, ben) as (one, two, other):
            first, second = await one.begin(), await two.begin()
            over = (grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc_calls_per_token_max: 3 is over the limit of 2")
            assert [await one.refusal(), await two.refusal()] == [over, over], "the share is the token's"
            async with GrpcRecords(address, token=ann) as client:
                with pytest.raises(RecordStreamError) as caught:
                    await anext(client.push_stream(agents(1)))
                assert isinstance(caught.value.__cause__, RateLimited)
            await other.begin()
            await other.begin()
            await first.done_writing()
            assert await first.read() is grpc.aio.EOF
            second.cancel()
            await one.begin_when_there_is_room()
            await two.begin_when_there_is_room()
            assert await one.refusal() == over

    asyncio.run(main())


def test_who_needs_no_token_has_no_share_of_one(box: NodeBox) -> None:
    address = start_with_two_calls_each(box, "--grpc-open")

    async def main() -> None:
        async with callers(address, "") as (anybody,):
            for _ in range(4):
                await anybody.begin()

    asyncio.run(main())
