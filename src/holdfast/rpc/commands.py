"""One definition of a command for both ends: a method of a typed Protocol class is the wire.

A domain registers its class once, ``Commands("jobs", JobsApi)``; then a client says
``await invoke(connection, JobsApi.signal, job, "INT")`` and the node's Dispatcher calls the implementation's
``signal``.  The type checker sees one signature, and the frame carries ``jobs.signal`` with
``{"job": ..., "signal": ...}``.

Short commands of the shell import this: no asyncio, no msgspec.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import MISSING, fields, is_dataclass
from types import FunctionType, UnionType
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, Protocol, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints_of

from ..errors import ProtocolError, UsageError
from ..limits import LIMITS
from .events import Reply

P = ParamSpec("P")
R = TypeVar("R")
Decoder = Callable[[Any], Any]
Method = Callable[..., Any]
INLINE_BYTES_MAX = LIMITS.frame_bytes_max * 3 // 4
"""What an attachment may well hold; what is larger goes as a stream beside the request."""


class Arguments(NamedTuple):
    """A command's arguments as they travel."""

    name: str
    params: dict[str, Any]
    attachment: bytes


class AsyncCaller(Protocol):
    """What :func:`invoke` needs of a connection."""

    async def call(
        self, method: str, params: dict[str, Any], attachment: bytes = b"", deadline_s: float | None = None
    ) -> Reply:
        """The peer's answer; raises the error it answered with."""
        ...


class BlockingCaller(Protocol):
    """What :func:`invoke_blocking` needs of a connection."""

    def call(
        self, method: str, params: dict[str, Any], attachment: bytes = b"", deadline_s: float | None = None
    ) -> Reply:
        """The peer's answer; raises the error it answered with."""
        ...


class Command:
    """One method of an API class, as it travels."""

    __slots__ = ("_decode", "_types", "attachment", "defaults", "function", "name", "parameters")

    def __init__(self, name: str, function: FunctionType) -> None:
        code = function.__code__
        self.name = name
        self.function = function
        self.parameters = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        self.defaults = _defaults_of(function)
        self.attachment = _attachment_of(name, function, self.parameters)
        """Name of the parameter that is the attachment; empty: none is."""
        self._types: dict[str, Any] | None = None
        self._decode: Decoder | None = None

    @property
    def doc(self) -> str:
        """The method's docstring, as written."""
        return self.function.__doc__ or ""

    @property
    def types(self) -> dict[str, Any]:
        """Parameter name → type, and ``return`` → the result's; resolved on first use."""
        if self._types is None:
            self._types = hints_of(self.function)
        return self._types

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """``args`` and ``kwargs`` as plain builtins; parameters that have their default value are left out.

        A default is therefore part of the wire: it does not change once released.  UsageError if they do not
        fit the signature.
        """
        given = self._bind(args, kwargs)
        attachment = given.pop(self.attachment, b"") if self.attachment else b""
        defaults = self.defaults
        params = {
            name: to_plain(value, name)
            for name, value in given.items()
            if name not in defaults or value != defaults[name]
        }
        return Arguments(self.name, params, attachment)

    def decode(self, result: Any, attachment: bytes = b"") -> Any:
        """The result as its declared type; ProtocolError if it does not fit.  A ``bytes`` result is the attachment."""
        if self._decode is None:
            self._decode = _decoder_of(self.types["return"], self.name)
        return attachment if self.types["return"] is bytes else self._decode(result)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if len(args) > self.function.__code__.co_argcount - 1:
            raise UsageError(f"{self.name} takes {len(self.parameters)} arguments, {len(args)} were given")
        given = dict(zip(self.parameters, args, strict=False))
        for name, value in kwargs.items():
            if name not in self.parameters or name in given:
                raise UsageError(f"{self.name}: {name} is unknown or given twice", field=name)
            given[name] = value
        for name in self.parameters:
            if name not in given and name not in self.defaults:
                raise UsageError(f"{self.name}: {name} is missing", field=name)
        return given


class Commands:
    """The commands of one API class under one namespace.

    ``api`` is a class, usually a Protocol, each public ``async def`` of which is a command; its docstrings are
    the reference documentation.  Making a second Commands of the same class and namespace changes nothing.
    """

    __slots__ = ("_commands", "api", "namespace")

    def __init__(self, namespace: str, api: type) -> None:
        self.namespace = namespace
        self.api = api
        self._commands: dict[str, Command] = {}
        for name, function in vars(api).items():
            if isinstance(function, FunctionType) and not name.startswith("_"):
                command = Command(f"{namespace}.{name}", function)
                self._commands[name] = command
                _BY_METHOD[function] = command

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __getitem__(self, method_name: str) -> Command:
        return self._commands[method_name]


_BY_METHOD: dict[Method, Command] = {}
"""Written while modules are imported, then only read."""


def command_of(method: Method) -> Command:
    """The command that ``method``, for example ``JobsApi.signal``, is; UsageError if it was never registered."""
    command = _BY_METHOD.get(method)
    if command is None:
        raise UsageError(f"{getattr(method, '__qualname__', method)} is not a registered command", field="method")
    return command


async def invoke(
    connection: AsyncCaller,
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Run the command ``method`` on the peer and return its typed result.

    Raises what the command's docstring says, DisconnectedError if the link is cut first, ProtocolError if the
    answer is not of the declared type.  Cancel-safe: the peer is told, and its handler is cancelled.
    """
    command = command_of(method)
    reply = await connection.call(*command.arguments(args, kwargs))
    result: R = command.decode(reply.result, reply.attachment)
    return result


def invoke_blocking(
    connection: BlockingCaller,
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """:func:`invoke` for the blocking shell; blocks until the answer is there."""
    command = command_of(method)
    reply = connection.call(*command.arguments(args, kwargs))
    result: R = command.decode(reply.result, reply.attachment)
    return result


class _Within:
    __slots__ = ("_connection", "_deadline_s")

    def __init__(self, connection: AsyncCaller | BlockingCaller, deadline_s: float) -> None:
        self._connection = connection
        self._deadline_s = deadline_s

    def call(
        self, method: str, params: dict[str, Any], attachment: bytes = b"", deadline_s: float | None = None
    ) -> Any:
        return self._connection.call(method, params, attachment, self._deadline_s if deadline_s is None else deadline_s)


def within(connection: AsyncCaller, deadline_s: float) -> AsyncCaller:
    """``connection`` with a deadline of ``deadline_s`` seconds on each call: ``invoke(within(connection, 5), ...)``.

    A call not answered by then raises DeadlineExceeded(phase="call") and is cancelled on the peer.
    """
    return _Within(connection, deadline_s)


def within_blocking(connection: BlockingCaller, deadline_s: float) -> BlockingCaller:
    """:func:`within` for the blocking shell."""
    return _Within(connection, deadline_s)


def to_plain(value: Any, field: str = "") -> Any:
    """``value`` as JSON's builtins: dataclasses become dicts without the fields that have their default.

    Leaving defaults out lets a newer client talk to an older node as long as it asks for nothing new; what is
    new and asked for is refused by name.  UsageError, naming ``field``, for what JSON cannot carry.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        if value - value != 0:  # some encoders would make null of it, which means another thing
            raise UsageError(f"{field}: {value} is no number in JSON", field=field)
        return value
    if isinstance(value, list | tuple):
        return [to_plain(item, field) for item in value]
    if isinstance(value, dict):
        return {str(key): to_plain(item, field) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: to_plain(item, f"{field}.{each.name}")
            for each in fields(value)
            if (item := getattr(value, each.name)) != _default_of(each)
        }
    raise UsageError(f"{field}: a {type(value).__name__} cannot be sent", field=field)


def _default_of(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _defaults_of(function: FunctionType) -> dict[str, Any]:
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    values = function.__defaults__ or ()
    defaults = dict(zip(positional[len(positional) - len(values) :], values, strict=True))
    return defaults | (function.__kwdefaults__ or {})


def _attachment_of(name: str, function: FunctionType, parameters: tuple[str, ...]) -> str:
    found = [parameter for parameter in parameters if function.__annotations__.get(parameter) in ("bytes", bytes)]
    if len(found) > 1:
        raise TypeError(f"{name}: only one parameter can be bytes, not {', '.join(found)}")
    return found[0] if found else ""


# Decoding: one small function per type, made on the first answer of that type.

_DATACLASSES: dict[type, Decoder] = {}


def _decoder_of(annotation: Any, where: str) -> Decoder:
    """A function from JSON's builtins to ``annotation``; ``where`` names the place in its errors."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _union_decoder(args, where)
    if origin is list or (origin is tuple and args[1:] == (...,)):
        return _sequence_decoder(origin, _decoder_of(args[0], where), where)
    if origin is dict:
        return _dict_decoder(_decoder_of(args[1], where), where)
    if annotation is Any or origin is Literal or annotation is bytes:
        return _same
    if annotation is None or annotation is type(None):
        return _nothing
    if isinstance(annotation, type) and is_dataclass(annotation):
        return _dataclass_decoder(annotation)
    if annotation in (str, int, float, bool, dict, list):
        return _simple_decoder(annotation, where)
    raise TypeError(f"{where}: {annotation!r} cannot be a result")


def _same(value: Any) -> Any:
    return value


def _nothing(_value: Any) -> None:
    return None


def _simple_decoder(cls: type, where: str) -> Decoder:
    accepted = (int, float) if cls is float else cls

    def decode(value: Any) -> Any:
        if not isinstance(value, accepted):
            raise _mismatch(where, cls.__name__, value)
        return value

    return decode


def _union_decoder(args: tuple[Any, ...], where: str) -> Decoder:
    others = [arg for arg in args if arg is not type(None)]
    if len(others) != 1:
        raise TypeError(f"{where}: of a union only X | None can be a result")
    inner = _decoder_of(others[0], where)

    def decode(value: Any) -> Any:
        return None if value is None else inner(value)

    return decode


def _sequence_decoder(cls: type, inner: Decoder, where: str) -> Decoder:
    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise _mismatch(where, "list", value)
        return cls(map(inner, value))

    return decode


def _dict_decoder(inner: Decoder, where: str) -> Decoder:
    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(where, "dict", value)
        return {key: inner(item) for key, item in value.items()}

    return decode


def _dataclass_decoder(cls: type) -> Decoder:
    known = _DATACLASSES.get(cls)
    if known is None:
        known = _DATACLASSES[cls] = _make_dataclass_decoder(cls)
    return known


def _make_dataclass_decoder(cls: type) -> Decoder:
    hints = hints_of(cls)
    decoders = {name: _decoder_of(hint, f"{cls.__name__}.{name}") for name, hint in hints.items()}
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(cls.__name__, "object", value)
        for name in required:
            if name not in value:
                raise ProtocolError(f"{cls.__name__}.{name} is missing in an answer", reason="answer")
        return cls(**{name: decoders[name](item) for name, item in value.items() if name in decoders})

    return decode


def _mismatch(where: str, expected: str, value: Any) -> ProtocolError:
    return ProtocolError(f"{where}: expected {expected}, found {type(value).__name__}", reason="answer")
