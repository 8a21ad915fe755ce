"""Seeded worlds of groups: ``python -m holdfast.simulation.sync SEED`` runs a small one and says what went wrong.

Peers send and hear while the network loses, doubles, delays and divides, and peers die and come back.  After every
delivery the judge is asked.  Then it ends well only if everybody has everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Literal

from ...sync.model import PacketKind
from ...sync.profiles import PROFILES
from ...sync.transports.memory import MemoryNetwork, MemoryTransport
from ...sync.wire import Wire
from ..seeds import UnsafeError, replay_seed, run_seeds
from ..world import World
from .disk import SyncDisk
from .judge import Judge
from .options import SyncOptions, check_options, draw_options, replay_command
from .peer import Doom, SimPeer
from .report import SyncReport

_MODULE = "holdfast.simulation.sync"
_PATIENCE = 0.9
"""All must have all, after the last trouble, within this share of the time after which a message is given up."""
_LINGER_S = 10.0
"""So long at least all go on after everybody has everything: what is delivered now is delivered twice."""
_CHECK_S = 1.0
_LOOKS_ALL = 4
"""Looks after which every peer was looked at."""
_LOOKS_MEMORY = 10
"""Looks from one at the memory of one peer to that of the next; it costs as much as there is."""
_STEPS_AT_ONCE = 16
"""Events between two looks at whether it is over; a few more do no harm."""
_STEPS_MAX = 100_000
"""Events at one moment; more happen only if a timer that is due stays so."""
_DOOMS: tuple[Doom, ...] = ("unsaved", "untold")


class SyncWorld:
    """One group in one world, from ``options``; ``replay``: the command that runs it."""

    def __init__(self, options: SyncOptions, replay: str = "", samples: list[tuple[float, int]] | None = None) -> None:
        self.options = options = check_options(options)
        self.replay = replay or replay_command(options)
        self.world = world = World(options.seed)
        self.judge = Judge(options.peers)
        self._wire = Wire(options.dialect)
        """Shared by all: a packet is read once, however many receive it."""
        least_s, width_s = options.delay_s - options.skew_s, 2 * options.skew_s
        self._odds = (options.loss, options.duplicate, least_s, width_s, world.random.random)
        self.network = MemoryNetwork(call_later=world.after, fate=self._fate)
        self.packets: dict[PacketKind | Literal["content"], int] = dict.fromkeys(
            ("content", "resend", "repair", "sync"), 0
        )
        self.bytes_broadcast = self.copies_lost = self.copies_duplicated = 0
        self._latencies: list[float] = []
        self._samples = samples
        self._left_to_send = options.messages
        self._deaths_left = options.crashes
        self._delivered_s = 0.0
        self._at_rest = False
        self._looks = 0
        half = world.random.sample(range(options.peers), max(1, options.peers // 2))
        self._half = frozenset([str(number) for number in half])
        self._part_at = options.over_s / 2 if options.partition_s else float("inf")
        self._heals_at = self._part_at + options.partition_s if options.partition_s else 0.0
        self._last_trouble_s = self._heals_at
        self._patience_s = _PATIENCE * max(PROFILES[name].lost_s for name in options.profiles)
        deaths = [world.random.randrange(options.peers) for _ in range(options.crashes)]
        self.peers = [self._make_peer(number, mortal=number in deaths) for number in range(options.peers)]
        for number in deaths:
            world.at(world.random.uniform(0.0, options.over_s), self._doom, self.peers[number])
        for _ in range(options.messages):
            world.at(world.random.uniform(0.0, options.over_s), self._send, 0)

    def _make_peer(self, number: int, *, mortal: bool) -> SimPeer:
        options, world = self.options, self.world
        profile = PROFILES[options.profiles[number % len(options.profiles)]]
        peer = SimPeer(
            number,
            world,
            self.network,
            self.judge,
            profile=profile._replace(history_max=max(profile.history_max, options.messages)),
            dialect=options.dialect,
            wire=self._wire,
            disk=SyncDisk(world.random, options.write_errors) if mortal else None,
            on_broadcast=self._on_broadcast,
        )
        peer.on_death = self._on_death
        peer.on_delivered = self._on_delivered
        return peer

    def run(self) -> SyncReport:
        """Run it to its end; UnsafeError, naming the command that replays it, if a promise was broken."""
        try:
            self._run()
        except Exception as error:  # whatever broke, say how to see it again
            what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise UnsafeError(f"{what} (seed {self.options.seed}, at {self.world.now():.6f} s)", self.replay) from error
        return self.report()

    def _run(self) -> None:
        for peer in self.peers:
            peer.start()
        self._look()
        if self.options.clock_skew_s:
            self._step_clocks()
        self._step_until(self._converged, lambda: f"no convergence: {self.judge.missing()}")
        self._last_trouble_s, self._at_rest = self.world.now(), False
        self.world.after(_LINGER_S, self._look_for_rest)
        self._step_until(lambda: self._at_rest, lambda: "messages stay unacknowledged that everybody has")
        self._history_largest = max(peer.check_end() for peer in self.peers)
        for peer in self.peers[:: max(1, len(self.peers) // 4)]:
            peer.check_memory()

    def _step_until(self, over: Callable[[], bool], trouble: Callable[[], str]) -> None:
        step, now, over_s, patience_s = self.world.step, self.world.clock.now, self.options.over_s, self._patience_s
        before_s, steps = -1.0, 0
        while not over():
            for _ in range(_STEPS_AT_ONCE):
                assert step(), f"nothing moves any more: {trouble()}"
            now_s = now()
            steps = steps + _STEPS_AT_ONCE if now_s == before_s else 0
            before_s = now_s
            assert steps < _STEPS_MAX, f"time stands still: {trouble()}"
            assert now_s <= over_s + patience_s or now_s <= self._last_trouble_s + patience_s, trouble()

    def _converged(self) -> bool:
        all_sent = not self._left_to_send and not self._deaths_left
        return all_sent and self.judge.converged and all(peer.up for peer in self.peers)

    def _look_for_rest(self) -> None:
        self._at_rest = all(peer.at_rest for peer in self.peers)
        self.world.after(_CHECK_S, self._look_for_rest)

    # what happens

    def _send(self, tried: int) -> None:
        random = self.world.random
        peer = random.choice(self.peers)
        number = self.options.messages - self._left_to_send
        sent = peer.up and peer.send(f"m{number}", self._content(number))
        if not sent:
            self.world.after(random.uniform(0.0, 0.1), self._send, tried + 1)
            return
        self._left_to_send -= 1
        self._last_trouble_s = max(self._last_trouble_s, self.world.now())
        self._sample()

    def _content(self, number: int) -> bytes:
        return f"{number} ".encode().ljust(self.options.size_bytes, b"~")[: self.options.size_bytes]

    def _doom(self, peer: SimPeer) -> None:
        if peer.up and not peer.doom:
            peer.doom = self.world.random.choice(_DOOMS)
        else:  # it is dead, or about to be: one after the other
            self.world.after(self.world.random.uniform(_CHECK_S, _CHECK_S + self.options.down_s), self._doom, peer)

    def _on_death(self, peer: SimPeer) -> None:
        self._deaths_left -= 1
        back_s = self.world.random.uniform(0.0, self.options.down_s)
        self._last_trouble_s = max(self._last_trouble_s, self.world.now() + back_s)
        self.world.after(back_s, peer.start)

    def _step_clocks(self) -> None:
        random, most_s = self.world.random, self.options.clock_skew_s
        for peer in self.peers:
            peer.set_skew(random.uniform(-most_s, most_s))
        if self.world.now() < self.options.over_s:
            self.world.after(random.uniform(1.0, 20.0), self._step_clocks)

    def _look(self) -> None:
        self._looks += 1
        for peer in self.peers[self._looks % _LOOKS_ALL :: _LOOKS_ALL]:
            peer.check()
        if self._looks % _LOOKS_MEMORY == 0:
            self.peers[self._looks // _LOOKS_MEMORY % len(self.peers)].check_memory()
        self.world.after(_CHECK_S, self._look)

    # the network

    def _fate(self, sender: MemoryTransport, receiver: MemoryTransport, message: bytes) -> Sequence[float]:
        loss, duplicate, least_s, width_s, chance = self._odds
        divided = self._part_at <= self.world.clock.now() < self._heals_at and self._divided(sender.name, receiver.name)
        if divided or (loss and chance() < loss):
            self.copies_lost += 1
            return ()
        delay_s = max(0.0, least_s + width_s * chance())
        if duplicate and chance() < duplicate:
            self.copies_duplicated += 1
            return delay_s, max(0.0, least_s + width_s * chance())
        return (delay_s,)

    def _divided(self, sender: str, receiver: str) -> bool:
        if self.options.one_way:
            return sender in self._half and receiver not in self._half
        return (sender in self._half) != (receiver in self._half)

    # what is noted

    def _on_broadcast(self, kind: PacketKind | Literal["content"], data: bytes) -> None:
        self.packets[kind] += 1
        self.bytes_broadcast += len(data)

    def _on_delivered(self, message_id: str) -> None:
        self._delivered_s = self.world.now()
        self._latencies.append(self._delivered_s - self.judge.sent[message_id].moment_s)
        self._sample()

    def _sample(self) -> None:
        if self._samples is not None:
            self._samples.append((self.world.now(), self.judge.expected - self.judge.deliveries))

    def report(self, error: str = "") -> SyncReport:
        """How it went."""
        messages, packets = max(1, len(self.judge.sent)), sum(self.packets.values())
        disks = [peer.disk for peer in self.peers if peer.disk is not None]
        trouble_s = max(self._heals_at, max((sent.moment_s for sent in self.judge.sent.values()), default=0.0))
        return SyncReport(
            ok=not error,
            peers=len(self.peers),
            messages=len(self.judge.sent),
            deliveries=self.judge.deliveries,
            convergence_s=max(0.0, (self.world.now() if error else self._delivered_s) - trouble_s),
            latency_median_s=median(self._latencies) if self._latencies else 0.0,
            latency_worst_s=max(self._latencies, default=0.0),
            packets=packets,
            packets_content=self.packets["content"],
            packets_resent=self.packets["resend"],
            packets_repair=self.packets["repair"],
            packets_sync=self.packets["sync"],
            packets_per_message=packets / messages,
            bytes_broadcast=self.bytes_broadcast,
            bytes_per_message=self.bytes_broadcast / messages,
            bytes_per_delivery=self.bytes_broadcast / max(1, self.judge.deliveries),
            copies_lost=self.copies_lost,
            copies_duplicated=self.copies_duplicated,
            duplicates=sum(peer.duplicates for peer in self.peers),
            acknowledged=sum(peer.acknowledged for peer in self.peers),
            crashes=sum(peer.deaths for peer in self.peers),
            writes=sum(disk.writes for disk in disks),
            writes_failed=sum(disk.failed for disk in disks),
            history_largest=getattr(self, "_history_largest", 0),
            waiting_largest=max(peer.waiting_largest for peer in self.peers),
            held_largest=max(peer.held_largest for peer in self.peers),
            seed=self.options.seed,
            error=error,
            replay=self.replay,
        )


def run_sync(options: SyncOptions, samples: list[tuple[float, int]] | None = None) -> SyncReport:
    """Run the world of ``options``; what went wrong is in the report."""
    world = SyncWorld(options, samples=samples)
    try:
        return world.run()
    except UnsafeError as error:
        return world.report(str(error).partition("\n")[0])


def run_seed(seed: int) -> SyncWorld:
    """The small world of ``seed``, after it was run; UnsafeError if a promise was broken."""
    world = SyncWorld(draw_options(seed), replay_seed(_MODULE, seed))
    world.run()
    return world


def tell(seed: int) -> str:
    """What came of the small world of ``seed``."""
    return f"ok, {run_seed(seed).judge.deliveries} deliveries"


def main(arguments: Iterable[str]) -> int:
    """Run the small worlds of the given seeds; 1 if any broke a promise."""
    return run_seeds(arguments, tell)
