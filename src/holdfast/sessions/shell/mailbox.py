"""The one task that changes the sessions of a node: it takes commands from a bounded mailbox, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from ...errors import ClosedError, InternalError
from ..core.effects import Answer, Effect

if TYPE_CHECKING:
    from ...clock import Clock
    from ...limits import Limits
    from ..core.manager import Manager

_logger = structlog.get_logger("holdfast.sessions")

Command = Callable[[float], list[Effect]]
"""Called with ``now`` in the one task."""
Question = Callable[[asyncio.Future[Any], float], list[Effect]]
"""A command that somebody waits for: called with his future, too."""


class Mailbox:
    """Takes commands, has what the core decided performed, and calls the core when its time has come."""

    def __init__(self, core: Manager, *, clock: Clock, limits: Limits) -> None:
        self.closed = False
        self._core = core
        self._clock = clock
        self._limits = limits
        self._perform: Callable[[Effect], None]
        self._commands: deque[Command] = deque()
        self._hint = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def open(self, perform: Callable[[Effect], None]) -> None:
        """Begin to take commands; ``perform`` does what they bring about, or begins to."""
        self._perform = perform
        self._task = asyncio.create_task(self._run(), name="sessions")

    async def close(self) -> None:
        """Take no more commands, and cancel and await all that runs."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` as a task that :meth:`close` cancels and awaits."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self) -> None:
        commands = self._commands
        turn = 0
        while True:
            while commands:
                self._handle(commands.popleft())
                turn += 1
                if turn % 64 == 0:
                    self._note_room()
                    await asyncio.sleep(0)
            self._note_room()
            self._hint.clear()
            self._arm()
            await self._hint.wait()

    def _note_room(self) -> None:
        if len(self._commands) < self._limits.session_commands_max:
            self._room.set()

    def _handle(self, command: Command) -> None:
        try:
            for effect in command(self._clock.now()):
                self._perform(effect)
        except Exception:
            _logger.exception("sessions.command_failed")

    def post(self, command: Command) -> None:
        """Have the task take ``command``; for what comes from inside, which must not wait."""
        self._commands.append(command)
        self._hint.set()

    async def ask(self, command: Question) -> Any:
        """Have the task take ``command``, and wait for its answer."""
        while len(self._commands) >= self._limits.session_commands_max:
            self._room.clear()
            await self._room.wait()
        if self.closed:
            raise ClosedError("the node is going")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.post(lambda now: self._guarded(command, answer, now))
        return await answer

    def _guarded(self, command: Question, answer: asyncio.Future[Any], now: float) -> list[Effect]:
        try:
            return command(answer, now)
        except Exception as error:
            _logger.exception("sessions.command_failed")
            return [Answer(answer, error=InternalError(f"the manager of sessions failed: {error}"))]

    def _arm(self) -> None:
        deadline = self._core.next_deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        delay = max(0.0, deadline - self._clock.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.post(self._core.handle_timer)
