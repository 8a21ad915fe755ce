"""What a node may ask of a keeper: the methods, their parameters, their answers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._version import __version__
from ...errors import Conflict, HoldfastError, InternalError, NotFound, UsageError
from ...rpc.events import RequestReceived
from ...rpc.selecting import SelectorConnection
from .certificate import SIDE_MAX
from .input import Bytes, Resize, Signal
from .input_queue import Item

if TYPE_CHECKING:
    from .keeper import Keeper

RECEIPT_S = 0.05
"""An input's sender waits this long to hear that it was applied; then it hears that it is queued."""
_OFFSET_MAX = 1 << 62
_GRACE_S_MAX = 86_400.0


class _Receipt(NamedTuple):
    """A sender that waits to hear of its input."""

    link: SelectorConnection
    call: int
    until: float


class Service:
    """Answers the node's calls on behalf of ``keeper``."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._receipts: dict[int, _Receipt] = {}
        self._methods: dict[str, Callable[[SelectorConnection, RequestReceived, float], dict[str, Any] | None]] = {
            "keeper.hello": self._hello,
            "keeper.output": self._output,
            "keeper.input": self._input,
            "keeper.signal": self._signal,
            "keeper.resize": self._resize,
            "keeper.terminate": self._terminate,
            "keeper.release": self._release,
        }

    def handle(self, link: SelectorConnection, request: RequestReceived, now: float) -> None:
        """Answer ``request``, at once or when its input was applied."""
        try:
            method = self._methods.get(request.method)
            if method is None:
                raise NotFound(kind="method", name=request.method)
            answer = method(link, request, now)
        except HoldfastError as error:
            link.core.respond_error(request.number, error)
            return
        except Exception:
            link.core.respond_error(request.number, InternalError("the keeper failed; its log says how"))
            raise
        if answer is not None:
            link.core.respond(request.number, answer)

    def input_done(self, item: Item, error: HoldfastError | None) -> None:
        """Tell whoever sent ``item``, if they still wait."""
        receipt = self._receipts.pop(item.number, None)
        if receipt is None or receipt.link.closed:
            return
        if error is None:
            receipt.link.core.respond(receipt.call, self._receipt(applied=True))
        else:
            receipt.link.core.respond_error(receipt.call, error)
        receipt.link.flush()

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` has something to do."""
        return min((receipt.until for receipt in self._receipts.values()), default=None)

    def handle_timer(self, now: float) -> None:
        """Tell those who have waited long enough that their input is queued."""
        for number in [number for number, receipt in self._receipts.items() if receipt.until <= now]:
            receipt = self._receipts.pop(number)
            receipt.link.core.respond(receipt.call, self._receipt(applied=False))
            receipt.link.flush()

    def _receipt(self, *, applied: bool) -> dict[str, Any]:
        return {"applied": applied, "queued_bytes": self._keeper.input.queue.queued_bytes}

    # the methods

    def _hello(self, link: SelectorConnection, request: RequestReceived, now: float) -> dict[str, Any]:
        keeper = self._keeper
        record = keeper.ending.record
        return {
            "job": keeper.certificate.job,
            **keeper.receipt._asdict(),
            "command": keeper.certificate.command,
            "tty": keeper.certificate.tty,
            "head": keeper.buffer.head,
            "total": keeper.buffer.total,
            "output_ended": keeper.sender.ended,
            "dropped_bytes": keeper.buffer.dropped,
            "spilled_bytes": keeper.buffer.spilled_bytes,
            "exit": None if record is None else record.to_wire(),
            "version": __version__,
        }

    def _output(self, link: SelectorConnection, request: RequestReceived, now: float) -> dict[str, Any]:
        stream = _integer(request, "stream", 0, 0xFFFFFFFF)
        from_offset = _integer(request, "from_offset", 0, _OFFSET_MAX)
        sender, buffer = self._keeper.sender, self._keeper.buffer
        if from_offset > buffer.total:
            raise UsageError(
                f"from_offset: {from_offset} is beyond the end of the output, {buffer.total}", field="from_offset"
            )
        self._keeper.disconnect_output()
        start_offset = sender.connect(stream, 0, max(from_offset, buffer.head), now)
        link.core.broker.add_sender(sender)
        return {"start_offset": start_offset, "total": buffer.total}

    def _input(self, link: SelectorConnection, request: RequestReceived, now: float) -> None:
        eof = request.params.get("eof", False)
        if not isinstance(eof, bool):
            raise UsageError("eof: must be true or false", field="eof")
        self._put(link, request, Bytes(bytes(request.attachment), eof), now)

    def _signal(self, link: SelectorConnection, request: RequestReceived, now: float) -> dict[str, Any] | None:
        number = _signal_number(request.params.get("signal"))
        if self._keeper.ending.record is not None:
            raise Conflict("the command has ended", expected="running", actual="ended")
        if _session(request):
            self._put(link, request, Signal(number), now)
            return None
        self._keeper.command.send_signal(number)
        return {}

    def _resize(self, link: SelectorConnection, request: RequestReceived, now: float) -> dict[str, Any] | None:
        rows, columns = _integer(request, "rows", 1, SIDE_MAX), _integer(request, "columns", 1, SIDE_MAX)
        if not self._keeper.command.tty:
            raise UsageError("rows: this job has no terminal", field="rows")
        if _session(request):
            self._put(link, request, Resize(rows, columns), now)
            return None
        self._keeper.command.resize(rows, columns)
        return {}

    def _terminate(self, link: SelectorConnection, request: RequestReceived, now: float) -> dict[str, Any]:
        grace_s = request.params.get("grace_s", self._keeper.certificate.grace_s)
        if isinstance(grace_s, bool) or not isinstance(grace_s, int | float) or not 0 <= grace_s <= _GRACE_S_MAX:
            raise UsageError(f"grace_s: must be a number of seconds from 0 to {_GRACE_S_MAX:g}", field="grace_s")
        self._keeper.ending.terminate(grace_s, now)
        return {}

    def _release(self, link: SelectorConnection, request: RequestReceived, now: float) -> dict[str, Any]:
        keeper = self._keeper
        if keeper.ending.record is None:
            raise Conflict("the command still runs", expected="ended", actual="running")
        if not keeper.sender.ended or keeper.buffer.size:
            raise Conflict(
                "not all output has been acknowledged", expected=keeper.buffer.total, actual=keeper.buffer.head
            )
        keeper.release(now)
        return {}

    def _put(self, link: SelectorConnection, request: RequestReceived, action: Any, now: float) -> None:
        """Queue ``action``; its sender hears when it was applied."""
        sequence = request.params.get("sequence", 0)
        if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0:
            raise UsageError("sequence: must be a whole number, 0 or more", field="sequence")
        source = self._keeper.input
        number = source.put(action, now, _session(request), sequence)
        hold_s = self._keeper.certificate.input_hold_s if source.queue.holds(number) else 0.0
        self._receipts[number] = _Receipt(link, request.number, now + RECEIPT_S + hold_s)
        source.pump()


def _session(request: RequestReceived) -> str:
    session = request.params.get("session", "")
    if not isinstance(session, str):
        raise UsageError("session: must be text", field="session")
    return session


def _integer(request: RequestReceived, name: str, low: int, high: int) -> int:
    value = request.params.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(f"{name}: must be a whole number from {low} to {high}", field=name)
    return value


def _signal_number(value: object) -> int:
    """By name, with or without SIG, or number."""
    if isinstance(value, str):
        name = value.upper()
        found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
        if isinstance(found, signal.Signals):
            return int(found)
    elif isinstance(value, int) and not isinstance(value, bool) and 0 < value < signal.NSIG:
        return value
    raise UsageError(f"signal: no signal is called {value!r}", field="signal")
