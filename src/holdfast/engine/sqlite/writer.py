"""The one thread that writes: group commit behind the event loop.

Whatever was queued while the previous commit ran goes into the next one, so nothing waits longer than for the
commit before it and its own; there is no timer but for appends with ack="memory", for which nobody waits.  Other work
that nobody waits for is done between commits.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from ...errors import HoldfastError, StorageError
from ...limits import Limits
from .. import packing
from ..histogram import COMMIT_S, Histogram
from ..state import Append, Control, LogState, Operation
from . import faults
from .database import Database
from .keys import Keys
from .lock import DirectoryLock
from .maintenance import Aside, Maintenance
from .objects import Objects
from .rows import Rows

Result = TypeVar("Result")
_LAZY_S = 0.002
"""How long an append that nobody waits for may lie: a thread that wakes now would take the interpreter from those who
handle the append, and what comes next can be stored with it."""
_QUIET_S = 0.002
"""Nothing to commit for this long: whoever waited has had the time to come back, and what can wait is done now."""


class Opened(NamedTuple):
    """What was found in the directory."""

    states: list[LogState]
    revision: int


class Outcome(NamedTuple):
    """What became of a group: ``error`` is None if ``operations`` were committed."""

    operations: list[Operation]
    error: HoldfastError | None


class Writer:
    """Owns the database.  :meth:`submit` is for the event loop; what begins with ``_`` runs on the thread."""

    rows: Rows
    keys: Keys
    objects: Objects
    maintenance: Maintenance

    def __init__(
        self, directory: str, limits: Limits, max_bytes: int | None, settle: Callable[[Outcome], None], aside: Aside
    ) -> None:
        """``settle`` is called on the event loop with the outcome of each group, in order."""
        self._directory = directory
        self._limits = limits
        self._max_bytes = max_bytes
        self._settle = settle
        self._aside = aside
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Opened] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._queue: deque[Operation] = deque()
        self._idle = False
        self._lazy = False
        """Something is queued that the thread is told of soon."""
        self._quiet = False
        self._stopping = False
        self._settled_waiters: deque[asyncio.Future[None]] = deque()
        self._broken: StorageError | None = None
        self._failed_once = False
        self._full = False
        self.commit_s = Histogram(COMMIT_S)
        """How long groups took to be stored; written by the thread."""
        self._thread = threading.Thread(target=self._main, name="holdfast-writer", daemon=True)

    # -- the event loop's side --------------------------------------------------------------------------------

    async def start(self) -> Opened:
        """Take the directory, open the database; see :class:`SqliteEngine` for the errors."""
        self._thread.start()
        try:
            return await self._opened
        except HoldfastError:
            self._thread.join()
            raise
        except asyncio.CancelledError:
            self._stopping = True
            self._nudge()
            raise

    def submit(self, operation: Operation) -> None:
        """Queue it for the next commit, which begins at once if anybody waits for it."""
        self._queue.append(operation)
        if not self._idle:
            return
        if operation.level:
            self._nudge()
        elif not self._lazy:
            self._lazy = True
            self._loop.call_later(_LAZY_S, self._nudge_late)

    async def quiesce(self) -> None:
        """Wait until all that is queued is settled and no maintenance is due."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._settled_waiters.append(waiter)
        self._nudge()
        await waiter

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do ``work`` on the thread, in a durable transaction, in line with all else."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self.submit(Control(None, work, lambda result: result, future))
        return await future

    async def probe(self) -> None:
        """Make a durable change; StorageError if that fails."""
        await self.run(self.rows.touch)

    async def stop(self) -> None:
        """Commit what is queued, close the database, let the directory go."""
        self._stopping = True
        self._nudge()
        await self._ended
        self._thread.join()

    def _nudge_late(self) -> None:
        self._lazy = False
        if self._idle and self._queue:
            self._nudge()

    def _nudge(self) -> None:
        """Have the thread look at what changed."""
        self._idle = False
        self._wake.put(None)

    # -- the thread -------------------------------------------------------------------------------------------

    def _main(self) -> None:
        lock = DirectoryLock(self._directory)
        try:
            opened = self._open(lock)
        except HoldfastError as error:
            lock.release()
            self._post(_set_exception, self._opened, error)
            return
        self._post(_set_result, self._opened, opened)
        try:
            while self._turn():
                pass
        finally:
            while self._settled_waiters:
                self._post(_set_result, self._settled_waiters.popleft(), None)
            self._database.close()
            lock.release()
            self._post(_set_result, self._ended, None)

    def _open(self, lock: DirectoryLock) -> Opened:
        lock.acquire()
        self._database = database = Database(self._directory, self._limits, self._max_bytes)
        try:
            self.rows = Rows(database.connection)
            self.keys = Keys(database.connection)
            self.maintenance = Maintenance(database, self.rows, self._limits, self._aside)
            self.objects = Objects(database.connection, self._limits.blob_part_bytes, self.maintenance.grew)
            return Opened(self.rows.load(), self.keys.revision)
        except sqlite3.Error as error:
            database.connection.close()
            raise faults.storage_error(error, self._directory) from error

    def _turn(self) -> bool:
        """One commit or one step of maintenance; False when all is stored and :meth:`stop` was called."""
        group = self._take()
        if group:
            self._quiet = False
            self._commit(group)
            self._maintain(quiet=False)
            return True
        if self._stopping:
            return False
        if not self._quiet:
            self._quiet = not self._wait(_QUIET_S)
        elif not self._maintain(quiet=True):
            while self._settled_waiters:
                self._post(_set_result, self._settled_waiters.popleft(), None)
            self._wait(None)
        return True

    def _wait(self, timeout_s: float | None) -> bool:
        """Wait for something to do; whether there is."""
        self._idle = True  # before looking again: who queues something after that look finds it, and wakes us
        try:
            if not self._queue:
                self._wake.get(timeout=timeout_s)
        except Empty:
            return False
        finally:
            self._idle = False
        return True

    def _take(self) -> list[Operation]:
        """The next group, at most about ``commit_bytes_max`` of it."""
        queue, room = self._queue, self._limits.commit_bytes_max
        group: list[Operation] = []
        while queue and room > 0:
            operation = queue.popleft()
            room -= operation.size
            group.append(operation)
        return group

    def _commit(self, group: list[Operation]) -> None:
        accepted, refused = self._sort(group) if self._failed_once else (group, [])
        if accepted:
            started = time.monotonic()
            outcomes = self._store(accepted)
            self.commit_s.observe(time.monotonic() - started)
            for outcome in outcomes:
                if outcome.error is not None:
                    self._failed_once = True
                    for operation in outcome.operations:
                        if operation.state is not None:
                            operation.state.poisoned = operation.generation
                self._report(outcome.operations, outcome.error)
        if refused:
            self._report(refused, StorageError(f"{self._directory}: an earlier append to the same log failed"))

    def _store(self, group: list[Operation]) -> list[Outcome]:
        """All of ``group`` in one commit; with no room for that, what does not append apart from what does.

        An append that finds no room must not keep a deletion from making some, only because they met.
        """
        self._full = False
        error = self._broken or self._try(group)
        if not self._full or len(group) == 1:
            return [Outcome(group, error)]
        grown = {operation.state for operation in group if type(operation) is Append}
        apart = [operation for operation in group if operation.state not in grown]
        if len(apart) == len(group):
            return [outcome for operation in group for outcome in self._store([operation])]
        if not apart:
            return [Outcome(group, error)]
        return self._store(apart) + self._store([operation for operation in group if operation.state in grown])

    @staticmethod
    def _sort(group: list[Operation]) -> tuple[list[Operation], list[Operation]]:
        """Split off what was queued behind an append that failed, before its failure was known."""
        refused = [op for op in group if op.state is not None and op.generation <= op.state.poisoned]
        return [op for op in group if op.state is None or op.generation > op.state.poisoned], refused

    def _try(self, group: list[Operation]) -> HoldfastError | None:
        durable = any(operation.level == 2 for operation in group)
        batches: list[tuple[LogState, list[packing.Row]]] = []
        try:
            try:
                self._database.transaction(lambda: self._apply(group, batches), durable=durable)
            except sqlite3.Error as error:
                self.keys.rolled_back()
                if not faults.is_full(error) or not self.maintenance.make_room():
                    raise
                batches.clear()
                self._database.transaction(lambda: self._apply(group, batches), durable=durable)
        except sqlite3.Error as error:
            self.keys.rolled_back()
            failure = faults.storage_error(error, self._directory)
            self._full = faults.is_full(error)
            if faults.is_lost_sync(error):
                self._broken = StorageError(f"{failure.message}; nothing more is stored until the engine is restarted")
            return failure
        except Exception as error:  # noqa: BLE001 - a mistake of ours: waiters get it, rather than wait for a dead thread
            self.keys.rolled_back()
            self._broken = StorageError(f"{self._directory}: the writer failed: {error!r}; restart the engine")
            return self._broken
        self.keys.committed()
        for state, rows in batches:
            self.maintenance.inserted(state.id, state.mode, rows)
        return None

    def _apply(self, group: list[Operation], batches: list[tuple[LogState, list[packing.Row]]]) -> None:
        """Everything of ``group``, in order, inside a transaction."""
        appends: dict[LogState, list[Append]] = {}
        for operation in group:
            if type(operation) is Append:
                appends.setdefault(operation.state, []).append(operation)
                continue
            assert isinstance(operation, Control)
            self._insert(appends, batches)
            try:
                operation.result = operation.run()
            except HoldfastError as refusal:
                operation.result = refusal
            self.maintenance.changed()
        self._insert(appends, batches)
        self.keys.flush()

    def _insert(self, appends: dict[LogState, list[Append]], batches: list[tuple[LogState, list[packing.Row]]]) -> None:
        for state, operations in appends.items():
            extents = [operation.extent for operation in operations]
            riders = [operation.rider for operation in operations if operation.rider is not None]
            if riders:
                extents = [extent for extent in extents if extent.end > extent.position]
                self.rows.note(state.id, riders)
                self.maintenance.changed()
            rows = packing.pack(state.mode, extents, self._limits.row_bytes)
            self.rows.insert(state.id, rows)
            batches.append((state, rows))
        appends.clear()

    def _maintain(self, *, quiet: bool) -> bool:
        try:
            return self._broken is None and self.maintenance.step(quiet=quiet)
        except sqlite3.Error as error:
            return self._maintenance_failed(error)

    def _maintenance_failed(self, error: sqlite3.Error) -> bool:
        """A full disk: try again after the next commit.  Anything else is for an operator."""
        if not faults.is_full(error):
            self._broken = faults.storage_error(error, self._directory)
        return False

    def _report(self, operations: list[Operation], error: HoldfastError | None) -> None:
        self._post(self._settle, Outcome(operations, error))

    def _post(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._stopping = True


def _set_result(future: asyncio.Future[object], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[object], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
