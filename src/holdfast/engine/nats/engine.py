"""The distributed engine's outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from ...errors import ClosedError, StorageError
from ...limits import LIMITS, Limits
from ..blobs import Blobs
from ..faces import Faces
from ..histogram import Histogram
from ..logs import Logs
from ..state import Control, Operation
from ..values import Values
from .blobs.objects import NatsObjects
from .bus import NatsBus
from .chain import Message
from .keys import Keys
from .lane import Lane, taken_over
from .lease import Lease
from .link.connection import Link, connect
from .link.streams import Direct, ensure_stream, scan, state_of, take_over
from .logs.finding import Finder
from .logs.journal import Journal
from .logs.reclaiming import Reclaimer
from .logs.recovery import Recovery, states_of
from .logs.store import NatsStore
from .options import NatsOptions, check_options
from .room import Room
from .wire import Identity, encode_identity

_STOP_S = 10.0
"""For what waits to be stored when the engine is stopped, if the servers do not answer."""


class NatsEngine(Faces):
    """Logs, keys, blobs and the bus on the NATS servers of one deployment, which has one node at a time.

    What the ack levels mean here:

    * ``disk`` and ``os``: JetStream acknowledged it.  With one replica it outlives the death of this node and of the
      server's process; after a power cut of the server's machine it is there as far as the server's ``sync_interval``
      says.  With three, it outlives the loss of any one machine.
    * ``memory``: it is on its way, and readers of this node see it.

    While the servers are away appends wait, and reading what is not in memory fails with StorageError.  Nothing is
    said to have failed before it is known.
    """

    def __init__(self, options: NatsOptions | str, *, max_bytes: int | None = None, limits: Limits = LIMITS) -> None:
        """``max_bytes`` bounds logs and keys together, and blobs too; beyond it appends fail as on a full disk."""
        super().__init__()
        self._options = NatsOptions(url=options) if isinstance(options, str) else options
        check_options(self._options)
        self._max_bytes = max_bytes
        self._limits = limits
        self.on_lost: Callable[[StorageError], None] = lambda error: None
        """Called once if another node takes the deployment over; nothing more is stored then."""
        self._stack: AsyncExitStack | None = None
        self._running: _Parts | None = None

    @property
    def _parts(self) -> _Parts:
        if self._running is None:
            raise ClosedError("the engine is not running")
        return self._running

    async def start(self) -> None:
        """Connect, take the deployment over, read what there is.

        BusyError(holder) if another node has it; StorageError if the servers cannot be reached or used, and for what
        they hold that is not ours; CorruptionError if it is damaged.
        """
        async with AsyncExitStack() as stack:
            link = await connect(self._options, limits=self._limits)
            stack.push_async_callback(link.close)
            parts = _Parts(link, self._max_bytes, self._limits)
            parts.on_lost = self.on_lost
            await parts.open(stack)
            self._running = parts
            self._show(parts.logs, parts.values, parts.blobs, parts.bus)
            self._stack = stack.pop_all()

    @property
    def commit_s(self) -> Histogram:
        """How long messages of logs took to be stored, since :meth:`start`; ClosedError while it does not run."""
        return self._parts.commit_s

    async def stop(self) -> None:
        """Have all stored and let go; idempotent.  Waiting appends finish first, if the servers answer."""
        parts, self._running = self._running, None
        stack, self._stack = self._stack, None
        if parts is None or stack is None:
            return
        self._hide()
        async with stack:
            await parts.close()

    async def quiesce(self) -> None:
        """Wait until all that is not needed any more has left the servers."""
        await self._parts.quiesce()

    async def probe(self) -> None:
        """Prove that it can be written right now, by a small message; StorageError if not."""
        await self._parts.probe()


class _Parts:
    """What an engine that runs is made of."""

    logs: Logs
    values: Values

    def __init__(self, link: Link, max_bytes: int | None, limits: Limits) -> None:
        self.link = link
        self.on_lost: Callable[[StorageError], None]
        self.lease = Lease(link)
        self.bus = NatsBus(link, limits=limits)
        self._objects = NatsObjects(link, max_bytes=max_bytes, limits=limits)
        self.blobs = Blobs(self._objects, limits=limits)
        self._room = room = Room(max_bytes)
        self._limits = limits
        self._log_lane = Lane(link, link.stream("logs"))
        self._key_lane = Lane(link, link.stream("keys"))
        self._objects.after = self._log_lane, self._key_lane
        subject = link.subject("log")
        self._direct = Direct(link, link.stream("logs"))
        finder = Finder(self._direct, link.stream("logs"), subject, limits.nats_read_cache_bytes)
        self._finder = finder
        self._reclaimer = Reclaimer(link, self._log_lane, finder, room)
        self._journal = Journal(self._log_lane, room, self._reclaimer, subject, link.max_payload, limits)
        self._keys = Keys(link, self._key_lane, room, self._keys_stored)

    def _keys_stored(self, operations: Sequence[Operation]) -> None:
        self.logs.stored(operations)

    async def open(self, stack: AsyncExitStack) -> None:
        """Take the deployment, read it, begin to write."""
        link = self.link
        own_logs, own_keys = link.subject("own", "logs"), link.subject("own", "keys")
        logs_subjects = [link.subject("log", "*"), own_logs]
        logs = await ensure_stream(link, "logs", subjects=logs_subjects, allow_rollup_hdrs=True)
        keys_subjects = [link.subject("key", "*"), link.subject("part", "*", "*"), own_keys]
        keys = await ensure_stream(link, "keys", subjects=keys_subjects, allow_rollup_hdrs=True, max_msgs_per_subject=1)
        self._room.measure(link.stream("logs"), logs.size)
        self._room.measure(link.stream("keys"), keys.size)
        log_last = await self.lease.acquire("logs", subjects=logs_subjects)
        await take_over(link, "keys", subjects=keys_subjects)
        key_last = await self._claim_keys(own_keys)
        self.lease.on_lost = self._lost
        for lane in self._lanes:
            lane.on_lost = self._lost
        await self._direct.open()
        await self._load(own_logs, key_last)
        stack.push_async_callback(self._objects.stop, 0.0)
        await self._objects.start(epoch=self.lease.epoch)
        await self.bus.start()
        stack.push_async_callback(self._keys.stop)
        stack.push_async_callback(self._reclaimer.stop)
        stack.push_async_callback(self._finder.stop)
        await self._log_lane.start(self._journal, settled=log_last, epoch=self.lease.epoch)
        await self._key_lane.start(self._keys, settled=key_last, epoch=self.lease.epoch)
        self._log_lane.discard = self._reclaimer.discard
        self._reclaimer.start(self._journal.shelves)
        self._reclaimer.mark(shelf for shelf in self._journal.shelves.values() if shelf.stored.gone)

    async def _claim_keys(self, subject: str) -> int:
        stream = self.link.stream("keys")
        while True:
            last = (await state_of(self.link, stream)).last
            sequence = await self.lease.claim(stream, subject, last, Identity(self.lease.epoch, 0))
            if sequence is not None:
                return sequence

    async def _load(self, own_logs: str, key_last: int) -> None:
        link, stream = self.link, self.link.stream("logs")
        found = await scan(link, stream, [link.subject("log", "*"), own_logs], self.lease.epoch)
        logs = [message for message in found if message.subject != own_logs]
        shelves = await Recovery(self._finder, stream).shelves(logs)
        self._journal.shelves = {shelf.id: shelf for shelf in shelves}
        keys = Direct(link, link.stream("keys"))
        await keys.open()
        self._keys.load(await keys.read_all(link.subject(">"), key_last))
        store = NatsStore(self._log_lane, self._journal, self._finder, self._reclaimer)
        self._journal.logs = self.logs = Logs(store, states_of(shelves), limits=self._limits)
        self.values = Values(self._keys, self._keys.revision)

    def _lost(self) -> None:
        """Another node has it."""
        error = taken_over(self.link.url, self.link.prefix)
        for lane in self._lanes:
            lane.break_off(error)
        tell, self.on_lost = self.on_lost, lambda error: None
        tell(error)

    @property
    def _lanes(self) -> tuple[Lane, ...]:
        return self._log_lane, self._key_lane, self._objects.lane

    async def probe(self) -> None:
        """See :meth:`NatsEngine.probe`."""
        self.link.check()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log_lane.submit(Control(None, self._touch, lambda _: None, future))
        try:
            await asyncio.wait_for(future, self._limits.nats_request_s)
        except TimeoutError:
            raise self._log_lane.refusal(f"no answer in {self._limits.nats_request_s:g} s (nats_request_s)") from None

    @property
    def commit_s(self) -> Histogram:
        """See :meth:`NatsEngine.commit_s`."""
        return self._log_lane.commit_s

    async def quiesce(self) -> None:
        """See :meth:`NatsEngine.quiesce`."""
        await self._reclaimer.idle()
        await self._keys.idle()
        await self._objects.quiesce()

    def _touch(self) -> None:
        """Say again who has the deployment."""
        stamp = encode_identity(self._log_lane.next_identity)
        message = Message(self.link.subject("own", "logs"), stamp, self.lease.card, rollup=True)
        self._journal.emitted = self._log_lane.flight([message])

    async def close(self) -> None:
        """Have all stored, and give the deployment back."""
        timeout_s = _STOP_S if self.link.connected else 0.0
        lanes = self._log_lane, self._key_lane, self._objects
        await asyncio.gather(*(lane.stop(timeout_s) for lane in lanes))
        if self._log_lane.broken is None and self.link.connected:
            identity = self._log_lane.next_identity
            try:
                await self.lease.release(self.link.stream("logs"), self._log_lane.chain.settled, identity)
            except StorageError:
                return  # the next one finds us silent
