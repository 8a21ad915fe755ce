"""Seeded worlds of a store of records that is collected while it is used.

``python -m holdfast.simulation.records.gc SEED`` runs one and says what went wrong.  Everything that was answered
before a record is condemned counts: a tag, a referrer, a push within the grace, and being named by a record that is
kept.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ...clock import VirtualClock
from ...engine.base import BlobStat
from ...engine.memory import MemoryEngine
from ...errors import BusyError, HoldfastError, NotFound
from ...limits import LIMITS
from ...records.canonical import canonical_json
from ...records.cid import cid_of_digest, digest_of_cid, record_cid
from ...records.domain import RecordDomain
from ...records.prepared import is_record
from ...records.store import Pushed
from ..seeds import UnsafeError, replay_seed, run_seeds
from .gates import GatedEngine, Gates

_MODULE = "holdfast.simulation.records.gc"
RECORDS = 7
ACTORS = 5
ACTIONS = 9
GRACE_S = 100.0


def make_records(rng: Any) -> list[dict[str, Any]]:
    """Some records; some name another one as their previous."""
    records: list[dict[str, Any]] = []
    for number in range(RECORDS):
        record: dict[str, Any] = {"n": number}
        if records and rng.random() < 0.5:
            record["previous_record_cid"] = record_cid(canonical_json(rng.choice(records)))
        records.append(record)
    return records


class GcWorld:
    """Actors that push, pull, tag, attach, delete and collect; and what they were promised."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.gates = Gates(seed)
        self.rng = self.gates.rng
        self.clock = VirtualClock()
        self.engine = MemoryEngine()
        self.records = make_records(self.rng)
        self.cids = [record_cid(canonical_json(record)) for record in self.records]
        self.previous = {
            cid: record["previous_record_cid"]
            for cid, record in zip(self.cids, self.records, strict=True)
            if "previous_record_cid" in record
        }
        self.pushed_at: dict[str, float] = {}
        """When a push of it was answered last."""
        self.tags: dict[str, str] = {}
        """Tags that were answered, and that nobody is changing."""
        self.attached: dict[str, set[str]] = {}
        self.detaching: dict[str, int] = {}
        """Records from which somebody is detaching all: what is attached promises nothing."""
        self.unsure: dict[str, int] = {}
        """Records that somebody is deleting: nothing is promised of them."""
        self.condemned: dict[str, int] = {}
        """At which step the removal of a record began last."""
        self.grace_s = 0.0
        self.collected = 0
        """Records that were removed."""
        self.crashes = 0
        self.domain: RecordDomain

    # what is promised

    def protected(self) -> set[str]:
        """The records that must not be collected now."""
        now = self.clock.wall()
        kept = {cid for cid, moment in self.pushed_at.items() if self.grace_s and now < moment + self.grace_s}
        kept |= set(self.tags.values()) | {cid for cid in self.attached if not self.detaching.get(cid)}
        kept = waiting = {cid for cid in kept if self.is_sure(cid)}
        while waiting:
            named = {self.previous[cid] for cid in waiting if cid in self.previous}
            waiting = {cid for cid in named if self.is_sure(cid)} - kept
            kept |= waiting
        return kept

    def is_sure(self, cid: str) -> bool:
        """Whether it is there, and nobody is deleting it."""
        return cid in self.pushed_at and not self.unsure.get(cid)

    def check(self, true: object, what: str) -> None:
        """A promise."""
        if not true:
            raise UnsafeError(f"step {self.gates.steps}: {what}", replay_seed(_MODULE, self.seed))

    def watch_removals(self) -> None:
        """Look at each record in the moment it is condemned."""
        store = self.domain.store
        remove_held = store.remove_held

        async def watched(there: Sequence[BlobStat]) -> None:
            protected = self.protected()
            for stat in there:
                cid = cid_of_digest(stat.digest)
                if not self.unsure.get(cid):
                    self.check(cid not in protected, f"record {self.cids.index(cid)} is live and was condemned")
                    self.collected += 1
                    self.pushed_at.pop(cid, None)
                self.condemned[cid] = self.gates.steps
            await remove_held(there)

        store.remove_held = watched  # type: ignore[method-assign]

    # what actors do

    async def act(self) -> None:
        """One actor's life."""
        ways = [self.push, self.push, self.pull, self.tag, self.untag, self.attach, self.detach, self.delete]
        ways += [self.collect, self.collect, self.wait, self.give_up]
        for _ in range(ACTIONS):
            await self.rng.choice(ways)()

    async def push(self) -> None:
        """Push a few; what is answered is there."""
        chosen = self.rng.sample(range(RECORDS), self.rng.randint(1, 3))
        before, began = self.gates.steps, self.clock.wall()
        texts = [json.dumps(self.records[number]).encode() for number in chosen]
        results = await self.domain.store.push_many(texts)
        for number, result in zip(chosen, results, strict=True):
            cid = self.cids[number]
            self.check(isinstance(result, Pushed) and result.cid == cid, f"push of {number}: {result}")
            if self.condemned.get(cid, -1) < before and not self.unsure.get(cid):
                self.check(await self.is_there(cid), f"record {number} was answered, and is not there")
                self.pushed_at[cid] = max(began, self.pushed_at.get(cid, began))

    async def is_there(self, cid: str) -> bool:
        """Whether it is in the engine, without a turn."""
        (stat,) = await self.engine.blobs.stat_many([digest_of_cid(cid)])
        return stat is not None and is_record(stat.meta)

    async def pull(self) -> None:
        """Pull one: all of it, or nothing if it may be gone."""
        number = self.rng.randrange(RECORDS)
        cid = self.cids[number]
        safe = cid in self.protected()
        before = self.gates.steps
        ((answer,),) = [answers async for answers in self.domain.store.pull_many([cid])]
        if isinstance(answer, NotFound):
            lost = safe and self.condemned.get(cid, -1) < before and not self.unsure.get(cid)
            self.check(not lost, f"record {number} is live and was not found")
        else:
            self.check(answer == canonical_json(self.records[number]), f"record {number} came as {answer!r}")

    async def tag(self) -> None:
        """Tag one, if it is there."""
        name, number = f"t{self.rng.randrange(3)}", self.rng.randrange(RECORDS)
        self.tags.pop(name, None)
        before = self.gates.steps
        try:
            await self.domain.store.tags.put(name, "1", self.cids[number])
        except NotFound:
            return
        finally:
            self.tags.pop(name, None)  # whoever had it before, also if this was cancelled
        cid = self.cids[number]
        if self.condemned.get(cid, -1) < before and not self.unsure.get(cid):
            current = self.domain.store.tags.of(digest_of_cid(cid))
            if f"{name}:1" in current:
                self.tags[name] = cid
                self.pushed_at.setdefault(cid, -1e9)

    async def untag(self) -> None:
        """Remove a tag."""
        name = f"t{self.rng.randrange(3)}"
        self.tags.pop(name, None)
        try:
            await self.domain.store.tags.remove(name, "1")
        finally:
            self.tags.pop(name, None)

    async def attach(self) -> None:
        """Attach something."""
        cid = self.rng.choice(self.cids)
        before = self.gates.steps
        try:
            made = await self.domain.store.referrers.put(cid, "t", {"n": self.rng.randrange(2)}, {}, "")
        except NotFound:
            return
        names = self.domain.store.referrers.of(digest_of_cid(cid))
        if self.condemned.get(cid, -1) < before and not self.unsure.get(cid) and made.cid in names:
            self.attached.setdefault(cid, set()).add(made.cid)
            self.pushed_at.setdefault(cid, -1e9)

    async def detach(self) -> None:
        """Detach all."""
        cid = self.rng.choice(self.cids)
        self.detaching[cid] = self.detaching.get(cid, 0) + 1
        try:
            await self.domain.store.referrers.remove(cid)
        except NotFound:
            pass
        finally:
            self.detaching[cid] -= 1
            self.attached.pop(cid, None)

    async def delete(self) -> None:
        """Delete one, which nobody is promised any more."""
        if self.rng.random() < 0.6:
            return
        cid = self.rng.choice(self.cids)
        self.unsure[cid] = self.unsure.get(cid, 0) + 1
        try:
            await self.domain.store.delete_many([cid])
        finally:
            self.unsure[cid] -= 1
            self.forget(cid)

    def forget(self, cid: str) -> None:
        """Nothing is promised of it any more."""
        self.pushed_at.pop(cid, None)
        self.attached.pop(cid, None)
        self.tags = {name: tagged for name, tagged in self.tags.items() if tagged != cid}

    async def collect(self) -> None:
        """Collect, with some grace."""
        grace_s = self.rng.choice([0.0, GRACE_S])
        try:
            collecting = self.domain.collector.collect(grace_s=grace_s)
            if not self.domain.collector.running:
                self.grace_s = grace_s
            await collecting
        except BusyError:
            return

    async def give_up(self) -> None:
        """Begin something, and cancel it some steps later."""
        ways = [self.push, self.tag, self.untag, self.attach, self.detach, self.delete, self.collect]
        task = asyncio.create_task(self.rng.choice(ways)())
        for _ in range(self.rng.randint(1, 8)):
            await self.gates.turn()
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def wait(self) -> None:
        """Time goes by."""
        self.clock.advance(self.rng.choice([1.0, 20.0, GRACE_S]))

    # the whole

    async def live(self, *, steps_max: int | None = None) -> bool:
        """A life, to its end or to a crash after so many steps: False."""
        await self.engine.start()
        try:
            await self.open()
            if not await self.gates.drive(self.everybody(), steps_max=steps_max):
                return False
            await self.check_end()
            return True
        finally:
            await self.engine.stop()

    def crashed(self) -> None:
        """What was under way may have been done or not: nothing is promised any more."""
        self.crashes += 1
        for promises in (self.attached, self.tags, self.detaching, self.unsure, self.condemned, self.pushed_at):
            promises.clear()

    async def everybody(self) -> None:
        """All actors at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(ACTORS):
                group.create_task(self.act())

    async def open(self) -> None:
        """The store, as a node opens it."""
        self.domain = RecordDomain(GatedEngine(self.engine, self.gates), clock=self.clock, limits=LIMITS)
        await self.gates.drive(self.domain.open())
        self.watch_removals()

    async def check_end(self) -> None:
        """Everything promised is there, nothing hangs on what is not, and the feed tells the truth."""
        fresh = RecordDomain(self.engine, clock=self.clock, limits=LIMITS)
        await fresh.open()
        there = {meta.cid for meta in await fresh.store.list("", 0)}
        self.grace_s = GRACE_S
        for cid in set(self.tags.values()) | {cid for cid, names in self.attached.items() if names}:
            self.check(cid in there, f"record {self.cids.index(cid)} is promised, and is not there")
        for cid in there:
            ((content,),) = [answers async for answers in fresh.store.pull_many([cid])]
            self.check(not isinstance(content, HoldfastError), f"{cid}: {content!r}")
            for referrer in await fresh.store.referrers.list(cid):
                self.check(referrer.record_cid == cid, "a referrer of another record")
        for tag in fresh.store.tags.list():
            self.check(tag.cid in there, f"tag {tag.name} dangles")
        last: dict[str, str] = {}
        for entry in (await fresh.store.feed.read(0, 0)).entries:
            if entry.kind in ("pushed", "deleted"):
                last[entry.cid] = entry.kind
        for cid in there:
            known = last.get(cid) == "pushed" or (self.crashes and cid in last)  # a removal may be begun and not done
            self.check(known, f"the feed does not know of record {self.cids.index(cid)}")


def run_seed(seed: int) -> GcWorld:
    """The world of ``seed``, when all is over; UnsafeError if a promise was broken."""
    world = GcWorld(seed)
    try:
        crash_after = world.rng.randrange(20, 400) if world.rng.random() < 0.3 else None
        if not asyncio.run(world.live(steps_max=crash_after)):
            world.crashed()
            asyncio.run(world.live())
    except BaseExceptionGroup as errors:
        raise as_unsafe(seed, first_of(errors)) from None
    except HoldfastError as error:
        raise as_unsafe(seed, error) from error
    return world


def as_unsafe(seed: int, error: BaseException) -> BaseException:
    """An error no actor expected breaks a promise too."""
    return UnsafeError(repr(error), replay_seed(_MODULE, seed)) if isinstance(error, HoldfastError) else error


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that came first."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def tell(seed: int) -> str:
    """What came of the world of ``seed``."""
    world = run_seed(seed)
    return f"safe, {world.gates.steps} steps, {world.collected} collected, {world.crashes} crashes"


def main(arguments: Iterable[str]) -> int:
    """Run the seeds given; 1 if a promise was broken in one of them."""
    return run_seeds(arguments, tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
