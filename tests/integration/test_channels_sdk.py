"""Channels through the SDK, async and blocking, against a real node."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import holdfast
from holdfast.client.channels.entries import ChannelOptions
from holdfast.testing import NodeBox

Run = Callable[[Coroutine[Any, Any, Any]], Any]

MANY = 20_000
WIDE: ChannelOptions = {"entries_max": 10_000_000, "rate_per_s": 1e9, "burst": 1_000_000_000}
"""Limits that no test here comes near."""


def connect(box: NodeBox) -> holdfast.Node:
    return holdfast.connect(box.url, autostart=False)


def payloads(entries: list[holdfast.Entry]) -> list[bytes]:
    return [entry.payload for entry in entries]


def test_append_and_read_back(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            chat = await node.channels.create("p", "chat")
            assert (chat.process, chat.name, chat.id) == ("p", "chat", "p/chat")
            assert await chat.append("text") == (1, 1)
            assert await chat.append(b"\x00bytes", headers={"a": "b"}, in_reply_to=4) == (2, 2)
            assert await chat.append({"x": [1, None]}) == (3, 3)
            assert await chat.append("mine", sequence=10) == (4, 10)
            assert await chat.append("mine", sequence=10) == (4, 10)
            assert await chat.append("next") == (5, 11)
            with pytest.raises(holdfast.SequenceConflict):
                await chat.append("other", sequence=10)
            entries = await chat.read()
            assert payloads(entries) == [b"text", b"\x00bytes", b'{"x":[1,null]}', b"mine", b"next"]
            assert (entries[1].headers, entries[1].in_reply_to) == ({"a": "b"}, 4)
            assert entries[2].content_type == "application/json"
            with pytest.raises(holdfast.UsageError, match="payload"):
                await chat.append(object())

    run(main())


def test_the_ways_to_read(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", **WIDE)
            other = log.sent_by("zoe")
            await log.append_batch([b"%d" % number for number in range(5)])
            await other.append("z1", sequence=2)
            await other.append("z0", sequence=1)
            assert [entry.late for entry in (await log.read(last=2))] == [False, True]
            assert payloads(await log.read(after=2, limit=2)) == [b"2", b"3"]
            assert payloads(await log.read(last=3)) == [b"4", b"z1", b"z0"]
            assert payloads(await log.read(order="sender"))[-2:] == [b"z0", b"z1"]
            assert payloads(await log.read(order="sender", after=5)) == [b"z0", b"z1"]
            newest = (await log.read(last=1))[0]
            assert newest in await log.read(since=newest.timestamp)
            assert await log.read(since=newest.timestamp + 1) == []
            assert await log.read(after=7) == []
            for wrong in ({"after": 8}, {"after": -1}, {"limit": -1}, {"last": -1}):
                with pytest.raises(holdfast.UsageError):
                    await log.read(**wrong)  # type: ignore[arg-type]
            senders = {each.sender: each.last_sequence for each in await log.senders()}
            assert senders["zoe"] == 2

    run(main())


def test_batches_of_every_kind(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", **WIDE)
            lines = [b"%d" % number * (number % 50) for number in range(MANY)]
            done = await log.append_batch(lines)
            assert (done.appended, done.first_index, done.last_index, done.refused) == (MANY, 1, MANY, ())
            assert payloads(await log.read()) == lines
            mixed = await log.append_batch(["text", b"bytes", {"json": True}])
            assert mixed.appended == 3
            assert [entry.content_type for entry in await log.read(after=MANY)] == ["", "", "application/json"]
            assert (await log.append_batch([])).appended == 0
            indexes = await asyncio.gather(*(log.append("x") for _ in range(2000)))
            assert [each.index for each in indexes] == list(range(MANY + 4, MANY + 2004))

    run(main())


def test_what_is_refused_of_a_batch_is_told(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", payload_bytes_max=10, entries_max=4)
            done = await log.append_batch(["a", "b" * 11, "c", "d", "e", "f"])
            assert done.appended == 4
            assert [(each.position, type(each.error)) for each in done.refused] == [
                (1, holdfast.MessageTooLarge),
                (5, holdfast.ChannelFull),
            ]
            assert payloads(await log.read()) == [b"a", b"c", b"d", b"e"]
            for batch in (["f"], [b"f" * 9_000_000], [b"f" * 20_000_000]):  # alone on their way, or a stream
                (refused,) = (await log.append_batch(batch)).refused
                assert (refused.position, type(refused.error)) in (
                    (0, holdfast.ChannelFull),
                    (0, holdfast.MessageTooLarge),
                )
            with pytest.raises(holdfast.ChannelFull):
                await log.append("g")
            with pytest.raises(holdfast.MessageTooLarge):
                await log.append("g" * 11)
            await log.end()
            await log.close()
            with pytest.raises(holdfast.ChannelClosed):
                await log.append("late")

    run(main())


def test_large_entries_travel_as_streams(node_box: NodeBox, run: Run) -> None:
    large = bytes(range(256)) * 12_000

    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log")
            await log.append("before")
            await asyncio.gather(log.append(large), log.append("after"))
            assert payloads(await log.read()) == [b"before", large, b"after"]
            assert payloads(await log.read(after=1, limit=1)) == [large]
            assert payloads(await log.read(last=2)) == [large, b"after"]
            with pytest.raises(holdfast.ChannelNotFound):
                await node.channels.channel("p/none").append(large)
            with pytest.raises(holdfast.MessageTooLarge):
                await log.append(large * 4)

    run(main())
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        log = node.channels.channel("p/log")
        log.append(large)
        assert payloads(log.read(last=1)) == [large]
        with pytest.raises(holdfast.ChannelNotFound):
            node.channels.channel("p/none").append(large)
        assert log.append_batch(["x", large, "y"]).appended == 3
        assert payloads(log.read(last=3)) == [b"x", large, b"y"]
        done = log.append_batch(["x", large * 4, "y", large * 8])
        assert [(each.position, type(each.error)) for each in done.refused] == [
            (1, holdfast.MessageTooLarge),
            (3, holdfast.MessageTooLarge),
        ]
        assert (done.appended, payloads(log.read(last=2))) == (2, [b"x", b"y"])
        for senseless in ({"last": -2}, {"since": float("nan")}):
            with pytest.raises(holdfast.UsageError, match=f"^{next(iter(senseless))}: "):
                log.read(**senseless)
        for kind in ("what it is", 5):
            with pytest.raises(holdfast.UsageError, match=r"^content_type: "):
                log.append("x", content_type=kind)  # type: ignore[arg-type]


def test_the_rate_limit_holds_a_sender_back(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", rate_per_s=500, burst=10)
            for number in range(30):
                await log.append(b"%d" % number)
            assert payloads(await log.read()) == [b"%d" % number for number in range(30)]
            slow = await node.channels.create("p", "slow", rate_per_s=0.001, burst=1)
            await slow.append("one")
            with pytest.raises(holdfast.RateLimited) as caught:
                await slow.append("two", patience_s=0)
            assert caught.value.retry_after_s > 1
            with pytest.raises(holdfast.RateLimited):
                await slow.append("three", patience_s=5)

    run(main())


def test_two_clients_of_one_name_lose_nothing(node_box: NodeBox, run: Run) -> None:
    """Both count from the same number; the same payloads from both are different entries."""

    async def main() -> None:
        async with connect(node_box) as one, connect(node_box) as two:
            await one.channels.create("p", "log", **WIDE)
            channels = [node.channels.channel("p/log") for node in (one, two)]
            await asyncio.gather(*(channel.append("same") for channel in channels for _ in range(300)))
            await asyncio.gather(*(channel.append_batch(["batch"] * 1500) for channel in channels))
            found = Counter(payloads(await channels[0].read()))
            assert found == {b"same": 600, b"batch": 3000}

    run(main())
    with (
        holdfast.connect_sync(node_box.url, autostart=False) as one,
        holdfast.connect_sync(node_box.url, autostart=False) as two,
    ):
        logs = [node.channels.channel("p/log") for node in (one, two)]
        for _ in range(20):
            for log in logs:
                log.append("blocking")
        assert Counter(payloads(logs[0].read()))[b"blocking"] == 40


def test_a_subscription_replays_then_follows(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", **WIDE)
            await log.append_batch([b"%d" % number for number in range(3000)])
            async with log.subscribe() as everything, log.subscribe(after=2990) as some:
                first = [await anext(everything) for _ in range(3000)]
                assert [entry.index for entry in first] == list(range(1, 3001))
                assert (await anext(some)).index == 2991
                await log.append("live")
                assert (await anext(everything)).payload == b"live"
                assert everything.after == 3001
                assert some.after == 2991
                theirs = log.subscribe(mine=False)
                await log.sent_by("zoe").append("hers")
                assert (await anext(theirs)).payload == b"hers"
                await theirs.aclose()
                await log.close()
                assert [entry.payload async for entry in everything] == [b"hers"]
            assert len([entry async for entry in log.subscribe(follow=False)]) == 3002
            assert len([entry async for entry in log.subscribe(limit=7)]) == 7
            with pytest.raises(holdfast.UsageError):
                await anext(log.subscribe(after=9999))

    run(main())


def test_a_subscription_is_in_force_when_entered_and_the_same_after_a_restart(node_box: NodeBox, run: Run) -> None:
    """Regression 11: effective before it is announced; options identical after rejoin."""

    async def main() -> None:
        async with connect(node_box) as node, connect(node_box) as other:
            log = await node.channels.create("p", "log", **WIDE)
            hers = other.channels.channel("p/log", sender="zoe")
            await log.append("before")
            seen: list[bytes] = []
            async with log.subscribe(after=1, mine=False, limit=40) as theirs, log.subscribe(after=1) as all_of_it:
                for restart in range(4):
                    await log.append("mine")
                    await hers.append_batch([b"%d" % number for number in range(restart * 10, restart * 10 + 10)])
                    seen += [(await anext(theirs)).payload for _ in range(5)]
                    await asyncio.to_thread(node_box.kill_node)
                    await asyncio.to_thread(node_box.start_node)
                seen += [entry.payload async for entry in theirs]
                assert seen == [b"%d" % number for number in range(40)]
                assert [(await anext(all_of_it)).index for _ in range(44)] == list(range(2, 46))

    run(main())
    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        theirs = node.channels.channel("p/log").subscribe(mine=False, limit=25)
        assert payloads(list(theirs)) == [b"%d" % number for number in range(25)]


def test_a_subscription_that_would_be_let_go_is_let_go_after_a_restart_too(node_box: NodeBox, run: Run) -> None:
    """Regression 11 again: what it chose for when it is slow, and how much may wait, hold on every connection."""

    async def main() -> None:
        async with connect(node_box) as node, connect(node_box) as other:
            log = await node.channels.create("p", "log", **WIDE)
            await log.append("first")
            impatient = log.subscribe(policy="disconnect", buffer_entries=1000)
            assert (await anext(impatient)).payload == b"first"
            await asyncio.to_thread(node_box.kill_node)
            await asyncio.to_thread(node_box.start_node)
            await log.append("second")
            assert (await anext(impatient)).payload == b"second"
            lines = [b"x" * 1000] * 2000
            theirs = other.channels.channel("p/log")
            for _ in range(10):  # more than a window, a ring and a buffer hold
                await theirs.append_batch(lines)
            with pytest.raises(holdfast.SubscriberTooSlow) as caught:
                async for _ in impatient:
                    pass
            assert caught.value.last_position == impatient.after

    run(main())


def test_a_cancelled_step_loses_nothing(node_box: NodeBox, run: Run) -> None:
    """Regression 13: no item is lost, no task is left; the ``run`` fixture looks for tasks."""

    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", **WIDE)
            subscription = log.subscribe()
            received: list[bytes] = []
            for number in range(60):
                waiting = asyncio.ensure_future(anext(subscription))
                for _ in range(number % 9):
                    await asyncio.sleep(0)
                if waiting.cancel() or not waiting.done():
                    await asyncio.wait([waiting])
                if not waiting.cancelled():
                    received.append(waiting.result().payload)
                await log.append(b"%d" % number)
            await log.close()
            received += [entry.payload async for entry in subscription]
            assert received == [b"%d" % number for number in range(60)]

    run(main())


def test_a_cancelled_append_leaves_the_others_alone(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", **WIDE)
            tasks = [asyncio.create_task(log.append(b"%d" % number)) for number in range(100)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            kept = {b"%d" % number for number, result in enumerate(done) if not isinstance(result, BaseException)}
            assert kept <= set(payloads(await log.read()))
            assert len(kept) >= 66

    run(main())


def test_producers_and_subscribers_outlive_killed_nodes(node_box: NodeBox, run: Run) -> None:
    """Every acknowledged entry is there once; every subscriber sees all, in order, and the end last."""
    rounds, size = 60, 100

    async def produce(number: int) -> None:
        async with connect(node_box) as node:
            log = node.channels.channel("p/log", sender=f"producer-{number}")
            for part in range(rounds):
                lines = [f"{number}:{part * size + place}" for place in range(size)]
                if part % 2:
                    assert (await log.append_batch(lines)).appended == size
                else:
                    done = await asyncio.gather(*(log.append(line) for line in lines))
                    assert [one.index for one in done] == sorted(one.index for one in done)
            await log.end()

    async def subscribe(log: holdfast.Channel) -> list[holdfast.Entry]:
        return [entry async for entry in log.subscribe()]

    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", **WIDE)
            producers = asyncio.gather(*(produce(number) for number in range(3)))
            subscribers = [asyncio.create_task(subscribe(log)) for _ in range(3)]
            for _ in range(3):
                await asyncio.sleep(0.3)
                await asyncio.to_thread(node_box.kill_node)
                await asyncio.to_thread(node_box.start_node)
            await producers
            await log.close()
            stories = await asyncio.gather(*subscribers)
            assert stories[0] == stories[1] == stories[2] == await log.read()
            entries = stories[0]
            assert [entry.index for entry in entries] == list(range(1, len(entries) + 1))
            for number in range(3):
                own = [entry for entry in entries if entry.sender == f"producer-{number}"]
                assert payloads(own[:-1]) == [f"{number}:{place}".encode() for place in range(rounds * size)]
                assert own[-1].type == "end"
                assert not any(entry.late for entry in own)

    run(main())


def test_the_blocking_twin_outlives_them_too(node_box: NodeBox) -> None:
    received: list[bytes] = []

    def follow() -> None:
        with holdfast.connect_sync(node_box.url, autostart=False) as node:
            received.extend(entry.payload for entry in node.channels.channel("p/log").subscribe())

    with holdfast.connect_sync(node_box.url, autostart=False) as node:
        log = node.channels.create("p", "log", **WIDE)
        follower = threading.Thread(target=follow)
        follower.start()
        expected: list[bytes] = []
        for part in range(40):
            if part in (10, 25):
                node_box.kill_node()
                node_box.start_node()
            lines = [b"%d.%d" % (part, place) for place in range(500)]
            expected += lines
            assert log.append_batch(lines).appended == 500
            log.append(b"%d" % part)
            expected.append(b"%d" % part)
        log.close()
        follower.join(60)
        assert received == expected
        assert payloads(log.read()) == expected
        assert payloads(log.read(after=100, limit=2)) == expected[100:102]
        with pytest.raises(holdfast.DeadlineExceeded):
            node.channels.create("p", "silent").subscribe().read(timeout_s=0.01)


def test_control_messages_and_receipts(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            chat = await node.channels.create("p", "chat", executor="worker")
            worker = chat.sent_by("worker")
            cancelled = await chat.cancel("enough")
            await chat.steer({"to": "left"})
            await chat.pause()
            await chat.resume()
            found = {entry.type: entry for entry in await chat.read() if entry.type != "receipt"}
            assert list(found) == ["cancel", "steer", "pause", "resume"]
            await worker.applied(found["cancel"], "stopped")
            await worker.refused(found["steer"].index)
            broke = await worker.fail("it broke")
            with pytest.raises(holdfast.UsageError, match=f"index {broke.index} is no control message") as caught:
                await worker.applied(broke.index)
            assert caught.value.field == "control.of"
            receipts = [entry for entry in await chat.read() if entry.type == "receipt"]
            states = [(entry.control["of"], entry.control["state"], entry.sender) for entry in receipts]
            assert (cancelled.index, "accepted", "holdfast") in states
            assert (cancelled.index, "applied", "worker") in states
            assert (found["steer"].index, "refused", "worker") in states
            assert (await chat.read(last=1))[0].error == "it broke"
            assert [each.ended for each in await chat.senders() if each.sender == "worker"] == ["error"]

    run(main())


def test_questions(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            chat = await node.channels.create("p", "chat")
            worker = chat.sent_by("worker")
            async with chat.subscribe() as subscription:
                asking = asyncio.create_task(worker.ask("deploy?"))
                question = await anext(subscription)
                assert (question.type, question.payload) == ("needs_input", b"deploy?")
                await chat.answer(question, "yes")
                with pytest.raises(holdfast.Conflict):
                    await chat.answer(question.index, "no")
                assert (await asking).payload == b"yes"
            denied = await worker.ask("now?", policy="deny", expires_s=0.01)
            assert denied.control["outcome"] == "denied"
            default = await worker.ask("colour?", policy="default", expires_s=0.01, default="blue")
            assert (default.payload, default.control["outcome"]) == (b"blue", "default")
            open_question = await worker.needs_input("ever?")
            await chat.close()
            with pytest.raises(holdfast.ChannelClosed):
                await worker.answer_to(open_question)

    run(main())


def test_a_slow_subscriber_is_let_go_if_it_chose_so(node_box: NodeBox, run: Run) -> None:
    line = b"x" * 1000

    async def main() -> None:
        async with connect(node_box) as node:
            log = await node.channels.create("p", "log", **WIDE)
            async with log.subscribe(policy="disconnect", buffer_entries=100) as hasty, log.subscribe() as paged:
                await log.append_batch([line] * 8000)
                with pytest.raises(holdfast.SubscriberTooSlow) as caught:
                    async for entry in hasty:
                        assert entry.payload == line
                assert caught.value.last_position == hasty.after
                rest = [entry.index async for entry in log.subscribe(after=hasty.after, follow=False)]
                assert rest == list(range((hasty.after or 0) + 1, 8001))
                for index in range(1, 8001):
                    assert (await anext(paged)).index == index

    run(main())


def test_removal_and_retention_are_told(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            ring = await node.channels.create("p", "ring", entries_max=10, retain=True)
            for number in range(50):
                await ring.append(b"%d" % number)
            info = await ring.info()
            assert info.oldest_index > 1 and info.dropped == info.oldest_index - 1
            with pytest.raises(holdfast.Gone) as gone:
                await anext(ring.subscribe(after=0))
            assert gone.value.oldest >= info.oldest_index
            assert (await anext(ring.subscribe())).index >= gone.value.oldest
            async with ring.subscribe(after=50) as subscription:
                assert await node.channels.cleanup_process("p", "the scheduler said so") == 1
                with pytest.raises(holdfast.ChannelNotFound, match="the scheduler said so"):
                    await anext(subscription)
            with pytest.raises(holdfast.ChannelNotFound):
                await ring.append("late")

    run(main())


def test_processes_executors_and_figures(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            for name in ("a", "b"):
                await node.channels.create("p", name)
            with pytest.raises(holdfast.ChannelExists):
                await node.channels.create("p", "a")
            assert (await node.channels.create("p", "a", missing_ok=True)).id == "p/a"
            assert [info.executor for info in await node.channels.set_executor("p", "worker")] == ["worker"] * 2
            assert (await node.channels.channel("p/a").set_executor("other")).executor == "other"
            assert [info.id for info in await node.channels.list("p")] == ["p/a", "p/b"]
            assert (await node.channels.get("p/b")).id == "p/b"
            assert [info.state for info in await node.channels.close_process("p")] == ["closed"] * 2
            stats = await node.channels.stats()
            assert (stats.channels, stats.processes, stats.closed) == (2, 1, 2)
            await node.channels.channel("p/a").remove("not needed")
            with pytest.raises(holdfast.ChannelNotFound):
                await node.channels.get("p/a")

    run(main())


EXECUTOR = """
import asyncio, holdfast
async def main():
    async with holdfast.current_job() as job:
        chat = job.channel("chat")
        async for entry in chat.subscribe(mine=False):
            if entry.type == "end":
                break
            if entry.type == "data":
                await chat.append(entry.payload.upper(), in_reply_to=entry.sequence)
        try:
            await job.node.channels.get("p/secret")
        except holdfast.ChannelNotFound:
            await chat.append("not for me")
        await chat.end()
asyncio.run(main())
"""
EXECUTOR_SYNC = """
import holdfast
with holdfast.current_job_sync() as job:
    chat = job.channel("chat")
    for entry in chat.subscribe(mine=False):
        if entry.type == "end":
            break
        if entry.type == "data":
            chat.append(entry.payload.upper(), in_reply_to=entry.sequence)
    try:
        job.node.channels.get("p/secret")
    except holdfast.ChannelNotFound:
        chat.append("not for me")
    chat.end()
"""


@pytest.mark.parametrize("script", [EXECUTOR, EXECUTOR_SYNC], ids=["async", "blocking"])
def test_a_job_talks_with_its_submitter(node_box: NodeBox, run: Run, script: str) -> None:
    async def main() -> None:
        async with connect(node_box) as node:
            await node.channels.create("p", "secret")
            job = await node.jobs.start([sys.executable, "-c", script], channels=["chat"])
            assert job.info.channels == ["chat"]
            chat = job.channel("chat")
            sent = [await chat.append(word) for word in ("one", "two")]
            await chat.end()
            entries = [entry async for entry in chat.subscribe(mine=False)]
            assert [entry.payload for entry in entries] == [b"ONE", b"TWO", b"not for me", b""]
            assert [entry.in_reply_to for entry in entries[:2]] == [each.sequence for each in sent]
            assert {entry.sender for entry in entries} == {f"job:{job.id}"}
            assert (await job.wait()).exit_code == 0
            assert (await chat.info()).state == "closed"

    run(main())


def test_outside_of_a_job_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_JOB", raising=False)
    for find in (holdfast.current_job, holdfast.current_job_sync):
        with pytest.raises(holdfast.UsageError, match="HOLDFAST_JOB"):
            find()


def test_without_a_node_it_gives_up_in_time(node_box: NodeBox, run: Run) -> None:
    async def main() -> None:
        async with holdfast.connect(node_box.url, autostart=False, reconnect_s=0.2) as node:
            log = await node.channels.create("p", "log")
            subscription = log.subscribe()
            await log.append("before")
            assert (await anext(subscription)).payload == b"before"
            await asyncio.to_thread(node_box.kill_node)
            results = await asyncio.gather(*(log.append("x") for _ in range(20)), return_exceptions=True)
            assert {type(result) for result in results} <= {holdfast.Unavailable, holdfast.DisconnectedError}
            with pytest.raises((holdfast.Unavailable, holdfast.DisconnectedError)):
                await anext(subscription)
            await asyncio.to_thread(node_box.start_node)
            await log.append("after")
            assert payloads(await log.read())[-1] == b"after"
            assert (await anext(subscription)).index == 2

    run(main())
