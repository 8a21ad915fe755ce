"""Seeded worlds of streams: ``python -m holdfast.simulation.streams SEED`` runs one and says what went wrong.

Phase 1: sources write, readers read, the network does its worst; after every event each stream is checked
(``Subject.check``).  Phase 2: the network heals, sources come to their end, and every stream has to as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...streams import Broker, GapSent, ReaderCancelled
from ..network import Faults
from ..pipe import DeliveryPipe, ReaderBridge, WriterBridge
from ..seeds import UnsafeError, replay_seed, run_seeds
from ..world import World
from .plans import WorldPlan, draw_world
from .subject import Subject

_MODULE = "holdfast.simulation.streams"
HEALED_S_MAX = 300.0
"""Virtual seconds within which a healed world must come to rest; a retransmission may wait for 30 of them."""
_STALL_S = 0.3
"""How long a half-open link goes unnoticed here."""
_COMMIT_S = 0.005
"""What a manual reader read is durable up to this much later."""


class StreamWorld:
    """All streams of a plan over one connection, which breaks and comes back."""

    def __init__(self, seed: int, plan: WorldPlan | None = None) -> None:
        self.seed = seed
        self.plan = draw_world(seed) if plan is None else plan
        self.world = World(seed)
        self.pipe = DeliveryPipe(self.world, self.plan.faults)
        self.subjects = [Subject(stream, lossy=self.plan.lossy) for stream in self.plan.streams]
        self.by_id: dict[int, Subject] = {}
        self.healed = False
        self.cuts = 0
        self._next_id = 1
        self._connection = 0
        self._retransmit_at: float | None = None

    def run(self) -> None:
        """Run both phases; UnsafeError, naming the command that replays it, if a promise was broken."""
        try:
            self._run()
        except Exception as error:  # whatever broke, say how to see it again
            what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            replay = replay_seed(_MODULE, self.seed)
            raise UnsafeError(f"{what} (at {self.world.now():.6f} s)", replay) from error

    def _run(self) -> None:
        self._connect()
        for subject in self.subjects:
            self._write(subject)
        if self.plan.cut_every_s:
            self._later(self.plan.cut_every_s, self._cut)
        if self.plan.resize_every_s:
            self._later(self.plan.resize_every_s, self._resize)
        self.world.at(self.plan.phase1_s, self._heal)
        while not (self.healed and all(subject.resolved for subject in self.subjects)):
            assert self.world.step(), f"nothing moves any more: {self._unresolved()}"
            assert self.world.now() < self.plan.phase1_s + HEALED_S_MAX, f"no rest after healing: {self._unresolved()}"
            for subject in self.subjects:
                subject.check()
        for subject in self.subjects:
            subject.check_end()

    # the connection

    def _connect(self) -> None:
        self._connection += 1
        self.pipe.heal()
        self.by_id.clear()
        self.reading, self.writing = Broker(), Broker()
        self._reader_bridge = ReaderBridge(self.world, self.reading, self.pipe, self._on_data)
        self._writer_bridge = WriterBridge(self.world, self.writing, self.pipe, self._on_ack)
        self._retransmit_at = None
        for subject in self.subjects:
            if subject.resolved or subject.cancelled:
                continue
            stream_id, self._next_id = self._next_id, self._next_id + 1
            subject.connect(stream_id, self.world.now())
            self.by_id[stream_id] = subject
            self.reading.add_reader(subject.reader)
            self.writing.add_sender(subject.sender)
        self._flush()

    def _cut(self) -> None:
        if self.healed:
            return
        self._later(self.plan.cut_every_s, self._cut)
        if self.pipe.data.silent or not self.pipe.data.up:
            return
        if self.world.random.random() < self.plan.half_open:
            lanes = self.world.random.choice(((True, False), (False, True), (True, True)))
            self.pipe.data.silent, self.pipe.acks.silent = lanes
            self.world.after(_STALL_S, self._lose, self._connection)
        else:
            self._lose(self._connection)

    def _lose(self, connection: int) -> None:
        if connection != self._connection or not self.pipe.data.up:
            return
        self.cuts += 1
        self.pipe.cut()
        crash = self.world.random.random() < self.plan.crash
        for subject in self.subjects:
            subject.sender.disconnect()
            if crash and subject.plan.manual:
                subject.crash()
        self.writing = Broker()
        self.world.after(self.world.random.uniform(0.0, 0.2), self._connect)

    def _heal(self) -> None:
        """Phase 2: no more faults, sources end, readers read as fast as they can."""
        self.healed = True
        self.pipe.change(Faults(delay_s=self.plan.faults.delay_s))
        if self.pipe.data.silent or self.pipe.acks.silent:
            self._lose(self._connection)

    def _flush(self) -> None:
        self._reader_bridge.flush()
        self._writer_bridge.flush()
        for subject in self.subjects:
            for event in subject.sender.events():
                if isinstance(event, GapSent):
                    assert subject.plan.overwrite, "a gap was sent, though nothing may be dropped"
                elif isinstance(event, ReaderCancelled):
                    assert event.error == ("enough" if subject.cancelled else ""), f"cancelled with {event.error!r}"
        deadline = self.writing.next_deadline()
        if deadline is not None and (self._retransmit_at is None or deadline < self._retransmit_at):
            self._retransmit_at = deadline
            self.world.at(deadline, self._retransmit, self._connection)

    def _retransmit(self, connection: int) -> None:
        if connection == self._connection:
            self._retransmit_at = None
            self.writing.handle_timer(self.world.now())
            self._flush()

    # the two ends

    def _on_ack(self) -> None:
        for stream_id in self.writing.events().writable:
            if self.healed and stream_id in self.by_id:
                self._source_on(self.by_id[stream_id])
        self._flush()

    def _on_data(self) -> None:
        for stream_id in self.reading.events().readable:
            subject = self.by_id[stream_id]
            if self.healed or not subject.plan.read_every_s:
                self._read_now(subject)
            else:
                self._read_later(subject)
        self._reader_bridge.flush()

    def _read_later(self, subject: Subject) -> None:
        if not subject.reading:
            subject.reading = True
            self.world.after(subject.plan.read_every_s or 0.001, self._read, subject)

    def _read(self, subject: Subject) -> None:
        subject.reading = False
        self._read_now(subject)
        self._flush()

    def _read_now(self, subject: Subject) -> None:
        subject.read(everything=self.healed)
        self.reading.ready(subject.reader.stream_id)
        if subject.reader.readable and not subject.cancelled:
            self._read_later(subject)
        if subject.plan.manual and subject.committing != self._connection:
            subject.committing = self._connection
            self.world.after(self.world.random.uniform(0, _COMMIT_S), self._commit, subject, self._connection)

    def _commit(self, subject: Subject, connection: int) -> None:
        if connection != self._connection:
            return
        subject.committing = 0
        if self.pipe.data.up:
            subject.commit()
            self.reading.ready(subject.reader.stream_id)
            self._flush()

    def _write(self, subject: Subject) -> None:
        """The source's own pace in phase 1, and its last bytes after."""
        if subject.sender.ended:
            return
        if self.healed:
            self._source_on(subject)
        else:
            subject.write(self.world.random.randrange(1, subject.plan.write_bytes + 1))
            if subject.plan.ends_early and subject.written >= subject.plan.size:
                subject.finish()
        if subject.sender.stream_id is not None:
            self.writing.ready(subject.sender.stream_id)
            self._flush()
        self.world.after(subject.plan.write_every_s, self._write, subject)

    def _source_on(self, subject: Subject) -> None:
        if subject.sender.ended:
            return
        before = -1
        while before != subject.written < subject.plan.size:
            before = subject.written
            subject.write(subject.plan.write_bytes)
        if subject.written >= subject.plan.size or subject.cancelled:
            subject.finish()
        if subject.sender.stream_id is not None:
            self.writing.ready(subject.sender.stream_id)

    def _resize(self) -> None:
        if not self.healed:
            self._later(self.plan.resize_every_s, self._resize)
        for subject in self.subjects:
            capacity = subject.plan.capacity
            subject.ring.set_window(capacity if self.healed else self.world.random.randrange(1, capacity + 1))

    def _later(self, mean_s: float, callback: Callable[[], None]) -> None:
        self.world.after(self.world.random.expovariate(1 / mean_s), callback)

    def _unresolved(self) -> str:
        waiting = (subject for subject in self.subjects if not subject.resolved)
        return "; ".join(
            f"{type(subject.sender).__name__} wrote {subject.written}, sent {subject.sender.sent}, acknowledged "
            f"{subject.sender.acknowledged}, the reader is at {subject.offset}"
            for subject in waiting
        )


def run_seed(seed: int) -> StreamWorld:
    """The world of ``seed``, after it was run; UnsafeError if a promise was broken."""
    world = StreamWorld(seed)
    world.run()
    return world


def tell(seed: int) -> str:
    """What came of the world of ``seed``."""
    world = run_seed(seed)
    return f"safe, {world.world.steps} events, {world.cuts} cuts"


def main(arguments: Iterable[str]) -> int:
    """Run the seeds given; 1 if a promise was broken in one of them."""
    return run_seeds(arguments, tell, draw_world)
