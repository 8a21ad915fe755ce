"""The answering half of ``commands``: from a request to the implementation's method, and back.

Parameters are checked against the method's annotations, so an implementation sees only values of its own
types; whatever does not fit is refused with the path of the offending field (``spec.command``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from ..errors import HoldfastError, InternalError, NotFound, ProtocolError, UsageError
from ..ids import new_id
from .commands import Command, Commands
from .events import Reply

_log = structlog.get_logger("holdfast.rpc")


class Request(Protocol):
    """What a dispatcher needs of a received request."""

    @property
    def method(self) -> str:
        """Namespace, dot, name."""
        ...

    @property
    def params(self) -> Any:
        """JSON object of the parameters by name."""
        ...

    @property
    def attachment(self) -> bytes:
        """Raw bytes beside them."""
        ...


class _Bound(NamedTuple):
    command: Command
    method: Callable[..., Awaitable[Any]]


class Dispatcher:
    """Routes requests to implementations of API classes.

    Cheap enough to make one for each connection, with implementations that know their connection.
    """

    __slots__ = ("_bound", "_new_reference")

    def __init__(self, *, new_reference: Callable[[], str] = new_id) -> None:
        self._bound: dict[str, _Bound] = {}
        self._new_reference = new_reference

    def add(self, commands: Commands, implementation: object) -> None:
        """Let ``implementation``, which has every method of ``commands``, answer them.

        Raises TypeError if a method is missing or the namespace is taken.
        """
        for command in commands:
            method = getattr(implementation, command.function.__name__, None)
            if method is None or command.name in self._bound:
                raise TypeError(f"{command.name}: not in {type(implementation).__name__}, or answered already")
            self._bound[command.name] = _Bound(command, method)

    async def handle(self, request: Request) -> Reply:
        """The implementation's answer.

        Raises only HoldfastError: UsageError and NotFound for a bad request, what the method raised on purpose,
        and InternalError with a reference into the log for anything else.  Cancel-safe as the method is.
        """
        try:
            bound = self._bound.get(request.method)
            if bound is None:
                raise NotFound(kind="method", name=request.method)
            result = await bound.method(**arguments_of(bound.command, request))
        except HoldfastError:
            raise
        except Exception as error:
            raise self._internal(request.method, error) from error
        return Reply(None, result) if isinstance(result, bytes) else Reply(result)

    def _internal(self, method: str, error: Exception) -> InternalError:
        reference = self._new_reference()
        _log.error("rpc.request_failed", method=method, reference=reference, exc_info=error)
        return InternalError(f"{method} failed; the node's log says why under {reference}", reference=reference)


def arguments_of(command: Command, request: Request) -> dict[str, Any]:
    """The request's parameters, each as its annotated type; UsageError names the field that does not fit."""
    params = request.params
    if not isinstance(params, dict):
        raise ProtocolError(f"{command.name}: parameters must be an object")
    types = command.types
    arguments = {}
    for name, value in params.items():
        if name not in command.parameters or name == command.attachment:
            raise UsageError(f"{command.name}: unknown parameter {name}", field=name)
        arguments[name] = _convert(value, types[name], name)
    if command.attachment:
        arguments[command.attachment] = bytes(request.attachment)
    elif request.attachment:
        raise UsageError(f"{command.name} takes no attachment", field="attachment")
    for name in command.parameters:
        if name not in arguments and name not in command.defaults:
            raise UsageError(f"{command.name}: {name} is missing", field=name)
    return arguments


def _convert(value: Any, annotation: Any, name: str) -> Any:
    try:
        converted = msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        raise _usage_error(str(error), name) from None
    if isinstance(value, dict | list):
        _refuse_unknown(value, converted, name)
    return converted


def _refuse_unknown(value: Any, converted: Any, path: str) -> None:
    """Refuse what a newer client asks for and this node would silently not do: msgspec ignores unknown fields."""
    if isinstance(value, list) and isinstance(converted, list | tuple):
        for index, (item, item_converted) in enumerate(zip(value, converted, strict=True)):
            _refuse_unknown(item, item_converted, f"{path}[{index}]")
    elif isinstance(value, dict) and is_dataclass(converted):
        names = {field.name for field in fields(converted)}
        for key, item in value.items():
            if key not in names:
                raise UsageError(f"{path}.{key}: unknown field", field=f"{path}.{key}")
            _refuse_unknown(item, getattr(converted, key), f"{path}.{key}")
    elif isinstance(value, dict) and isinstance(converted, dict):
        for key, item in value.items():
            _refuse_unknown(item, converted.get(key), f"{path}.{key}")


def _usage_error(text: str, name: str) -> UsageError:
    """msgspec's message (``Expected `str`, got `int` - at `$.command[0]` ``) with our name for the place."""
    what, _, place = text.partition(" - at `$")
    field = name + place.rstrip("`").replace("[...]", "[]")
    missing = "missing required field `"
    if missing in what:
        field = f"{field}.{what.partition(missing)[2].rstrip('`')}"
        return UsageError(f"{field} is missing", field=field)
    return UsageError(f"{field}: {what[:1].lower()}{what[1:].replace('`', '')}", field=field)
