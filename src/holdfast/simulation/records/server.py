"""A store in a simulated world: slow, failing, dying, and silent when it should speak."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...errors import DisconnectedError, HoldfastError, NotFound, Unavailable, UsageError
from ..world import World
from .plans import RecordPlan

Answer = tuple[int, str | None, HoldfastError | None, int]
"""Index, value, error, size."""


class StoreLink:
    """One stream to the store, until it is cut."""

    def __init__(
        self, store: FaultyStore, on_answer: Callable[[], None], on_cut: Callable[[HoldfastError], None]
    ) -> None:
        self.store = store
        self.up = True
        self.mute = False
        self.on_answer = on_answer
        self.on_cut = on_cut
        self.arrived: deque[Answer] = deque()
        """Answers at the client, not read yet."""
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._working = False
        self._under_way = 0

    @property
    def room(self) -> int:
        """Items the client may send."""
        return max(0, self.store.plan.server_items - self._under_way)

    def send(self, items: list[tuple[int, bytes]]) -> None:
        """They leave the client."""
        self._under_way += len(items)
        self.store.world.after(self.store.plan.round_trip_s / 2, self._arrive, items)

    def read(self) -> Answer:
        """The next answer, which makes room."""
        self._under_way -= 1
        return self.arrived.popleft()

    def cut(self, error: HoldfastError) -> None:
        """The client hears of it after a while, unless it has gone."""
        if self.up:
            self.up = False
            self.store.world.after(self.store.plan.round_trip_s / 2, self.on_cut, error)

    def leave(self) -> None:
        """The client has gone."""
        self.up = False
        self.on_cut = lambda _error: None
        self.on_answer = lambda: None

    def _arrive(self, items: list[tuple[int, bytes]]) -> None:
        if self.up:
            self._waiting.extend(items)
            self._work()

    def _work(self) -> None:
        if self._working or not self._waiting:
            return
        store = self.store
        self._working = store.plan.server_ordered
        item = self._waiting.popleft()
        store.world.after(store.world.random.expovariate(1 / store.plan.service_s), self._done, item)
        if not store.plan.server_ordered:
            self._work()

    def _done(self, item: tuple[int, bytes]) -> None:
        self._working = False
        if not self.up:
            return
        answer = self.store.do(self, *item)
        if answer is not None and not self.mute:
            self.store.world.after(self.store.plan.round_trip_s / 2, self._deliver, answer)
        self._work()

    def _deliver(self, answer: Answer) -> None:
        if self.up:
            self.arrived.append(answer)
            self.on_answer()


class FaultyStore:
    """What is behind all links; it keeps what it was given over its deaths."""

    def __init__(self, world: World, plan: RecordPlan) -> None:
        self.world = world
        self.plan = plan
        self.link: StoreLink | None = None
        self.down_until = 0.0
        self.deaths = 0
        self.deleted: set[int] = set()
        self._impossible = {i for i in range(len(plan.sizes)) if world.random.random() < plan.permanent}
        if plan.cut_every_s is not None:
            self._die_later(plan.cut_every_s)

    @property
    def healed(self) -> bool:
        """Nothing more goes wrong, but for the items that are poison."""
        return self.world.now() >= self.plan.healed_s

    def impossible(self, index: int) -> bool:
        """Whether the item will always be refused."""
        return index in self._impossible

    def dial(self, link: StoreLink, done: Callable[[HoldfastError | None], None]) -> None:
        """Open a stream; ``done`` hears of it."""
        down = self.world.now() < self.down_until

        def opened() -> None:
            if down or self.world.now() < self.down_until:
                done(Unavailable("nobody answers"))
            else:
                self.link = link
                done(None)

        self.world.after(self.plan.round_trip_s, opened)

    def do(self, link: StoreLink, index: int, body: bytes) -> Answer | None:
        """The answer to one item; None if it breaks the stream."""
        if index in self.plan.poison:
            link.cut(DisconnectedError("an item broke the stream"))
            return None
        if index in self._impossible:
            return index, None, UsageError("not a record"), 40
        if not self.healed and self.world.random.random() < self.plan.transient:
            return index, None, Unavailable("not now"), 40
        if self.plan.kind == "delete":
            if index in self.deleted:
                return index, None, NotFound(kind="record", name=str(index)), 40
            self.deleted.add(index)
        size = self.world.random.randrange(self.plan.answer_bytes + 1)
        return index, body.decode(), None, size

    def _die_later(self, mean_s: float) -> None:
        self.world.after(self.world.random.expovariate(1 / mean_s), self._die, mean_s)

    def _die(self, mean_s: float) -> None:
        if self.healed:
            return
        self.deaths += 1
        if self.link is not None and self.world.random.random() < self.plan.mute:
            self.link.mute = True
        elif self.link is not None:
            self.down_until = self.world.now() + self.world.random.random() * self.plan.down_s
            self.link.cut(DisconnectedError("the store died"))
        self._die_later(mean_s)
