"""Dispatcher: requests reach the implementation with its own types, and nothing untyped leaves it."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import pytest
import structlog

from holdfast.errors import BusyError, HoldfastError, InternalError, NotFound, ProtocolError, UsageError
from holdfast.rpc.commands import Commands, command_of
from holdfast.rpc.dispatch import Dispatcher
from holdfast.rpc.events import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part."""

    number: int
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan."""

    name: str
    colour: Literal["red", "blue"] = "red"
    parts: list[Part] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    spare: Part | None = None


class PlansApi(Protocol):
    """Commands about plans."""

    async def make(self, plan: Plan, times: int = 1) -> Plan:
        """Make."""
        ...

    async def load(self, name: str, data: bytes) -> int:
        """Load."""
        ...

    async def dump(self, name: str) -> bytes:
        """Dump."""
        ...

    async def fail(self, how: str) -> None:
        """Fail."""
        ...


PLANS = Commands("plans", PlansApi)


class Plans:
    """What answers them."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def make(self, plan: Plan, times: int = 1) -> Plan:
        self.seen.append((plan, times))
        return plan

    async def load(self, name: str, data: bytes) -> int:
        self.seen.append((name, data))
        return len(data)

    async def dump(self, name: str) -> bytes:
        return name.encode()

    async def fail(self, how: str) -> None:
        raise {"busy": BusyError("taken", holder="me"), "os": OSError("disk"), "key": KeyError("x")}[how]


class Request(NamedTuple):
    """A received request."""

    method: str
    params: Any
    attachment: bytes = b""


def finish(coroutine: Coroutine[Any, Any, Reply]) -> Reply:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        reply: Reply = stopped.value
        return reply
    raise AssertionError("it waits")


def dispatcher() -> tuple[Dispatcher, Plans]:
    plans = Plans()
    made = Dispatcher(new_reference=lambda: "ref1")
    made.add(PLANS, plans)
    return made, plans


def refused(request: Request) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        finish(dispatcher()[0].handle(request))
    return caught.value


def test_parameters_arrive_as_their_types() -> None:
    made, plans = dispatcher()
    plan = Plan(name="a", colour="blue", parts=[Part(number=1, extra={"k": "v"})], spare=Part(number=2))
    name, params, attachment = command_of(PlansApi.make).arguments((plan, 3), {})
    wire = msgspec.json.decode(msgspec.json.encode(params))
    assert finish(made.handle(Request(name, wire, attachment))) == (plan, b"")
    assert plans.seen == [(plan, 3)]


def test_attachments_go_both_ways() -> None:
    made, plans = dispatcher()
    assert finish(made.handle(Request("plans.load", {"name": "a"}, b"123"))) == (3, b"")
    assert finish(made.handle(Request("plans.dump", {"name": "abc"}))) == (None, b"abc")
    assert plans.seen == [("a", b"123")]


@pytest.mark.parametrize(
    ("params", "field_name", "text"),
    [
        ({}, "plan", "plan is missing"),
        ({"plan": {}}, "plan.name", "plan.name is missing"),
        ({"plan": 3}, "plan", "plan: expected object, got int"),
        ({"plan": {"name": 3}}, "plan.name", "plan.name: expected str, got int"),
        ({"plan": {"name": "", "colour": "green"}}, "plan.colour", "plan.colour: invalid enum value 'green'"),
        ({"plan": {"name": "", "parts": [{"number": 1}, {}]}}, "plan.parts[1].number", "is missing"),
        ({"plan": {"name": "", "env": {"A": 1}}}, "plan.env[]", "expected str, got int"),
        ({"plan": {"name": "", "shape": 1}}, "plan.shape", "plan.shape: unknown field"),
        ({"plan": {"name": "", "parts": [{"number": 1, "x": 1}]}}, "plan.parts[0].x", "unknown field"),
        ({"plan": {"name": "", "spare": {"number": 1, "x": 1}}}, "plan.spare.x", "unknown field"),
        ({"plan": {"name": ""}, "times": "3"}, "times", "times: expected int, got str"),
        ({"plan": {"name": ""}, "when": 1}, "when", "unknown parameter when"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_by_its_path(
    params: dict[str, Any], field_name: str, text: str
) -> None:
    error = refused(Request("plans.make", params))
    assert isinstance(error, UsageError)
    assert error.field == field_name
    assert text in error.message


def test_free_dictionaries_take_any_key() -> None:
    made, plans = dispatcher()
    finish(made.handle(Request("plans.make", {"plan": {"name": "", "env": {"anything": "goes"}}})))
    assert plans.seen == [(Plan(name="", env={"anything": "goes"}), 1)]


def test_an_attachment_nobody_asked_for_is_refused() -> None:
    error = refused(Request("plans.dump", {"name": "a"}, b"x"))
    assert isinstance(error, UsageError)
    assert error.field == "attachment"


def test_the_attachment_cannot_come_as_a_parameter() -> None:
    error = refused(Request("plans.load", {"name": "a", "data": "x"}))
    assert isinstance(error, UsageError)
    assert error.field == "data"


def test_parameters_must_be_an_object() -> None:
    assert isinstance(refused(Request("plans.make", [1])), ProtocolError)


def test_an_unknown_method_is_not_found() -> None:
    error = refused(Request("plans.sell", {}))
    assert isinstance(error, NotFound)
    assert (error.kind, error.name) == ("method", "plans.sell")


def test_errors_on_purpose_pass_through() -> None:
    error = refused(Request("plans.fail", {"how": "busy"}))
    assert isinstance(error, BusyError)
    assert error.holder == "me"


@pytest.mark.parametrize("how", ["os", "key"])
def test_any_other_error_is_internal_with_a_reference_into_the_log(how: str) -> None:
    with structlog.testing.capture_logs() as logged:
        error = refused(Request("plans.fail", {"how": how}))
    assert isinstance(error, InternalError)
    assert error.reference == "ref1"
    assert "disk" not in error.message
    (entry,) = logged
    assert (entry["event"], entry["reference"], entry["method"]) == ("rpc.request_failed", "ref1", "plans.fail")
    assert isinstance(entry["exc_info"], OSError | KeyError)


def test_an_implementation_must_have_every_method_and_its_namespace_for_itself() -> None:
    made, plans = dispatcher()
    with pytest.raises(TypeError, match=r"plans\.make"):
        made.add(PLANS, plans)
    with pytest.raises(TypeError, match=r"plans\.make"):
        Dispatcher().add(PLANS, object())
