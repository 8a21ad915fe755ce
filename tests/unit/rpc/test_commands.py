"""Commands: what travels for a call, what comes back, and what each refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ProtocolError, UsageError
from holdfast.jobs.api import JobsApi
from holdfast.jobs.model import JobInfo, JobSpec, Usage
from holdfast.rpc.commands import (
    Commands,
    command_of,
    invoke,
    invoke_blocking,
    to_plain,
    within,
    within_blocking,
)
from holdfast.rpc.events import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A value with a bit of everything."""

    label: str
    side_m: float = 1.0
    mood: Literal["", "good", "bad"] = ""
    inner: Box2 | None = None
    parts: list[Box2] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Box2:
    """What a Box holds."""

    number: int = 0


class BoxesApi(Protocol):
    """Commands as a domain declares them."""

    async def put(self, box: Box, note: str = "", *, force: bool = False) -> Box:
        """Put a box."""
        ...

    async def find(self, label: str) -> Box | None:
        """Find a box."""
        ...

    async def every(self) -> list[Box]:
        """Every box."""
        ...

    async def pack(self, label: str, data: bytes, at: int = 0) -> None:
        """Fill a box."""
        ...

    async def unpack(self, label: str) -> bytes:
        """Empty a box."""
        ...

    async def pair(self) -> tuple[int, ...]:
        """Some numbers."""
        ...

    async def _hidden(self) -> None: ...


BOXES = Commands("boxes", BoxesApi)
JOBS = Commands("jobs", JobsApi)


class FakeCaller:
    """Answers every call with one reply and remembers what was asked."""

    def __init__(self, result: Any = None, attachment: bytes = b"") -> None:
        self.reply = Reply(result, attachment)
        self.asked: list[tuple[str, dict[str, Any], bytes, float | None]] = []

    async def call(
        self, method: str, params: dict[str, Any], attachment: bytes = b"", deadline_s: float | None = None
    ) -> Reply:
        self.asked.append((method, params, attachment, deadline_s))
        return self.reply


class FakeBlockingCaller(FakeCaller):
    """The same, without waiting."""

    def call(  # type: ignore[override]
        self, method: str, params: dict[str, Any], attachment: bytes = b"", deadline_s: float | None = None
    ) -> Reply:
        self.asked.append((method, params, attachment, deadline_s))
        return self.reply


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    return stopped.value.value


def test_a_call_travels_as_namespace_method_and_named_builtins() -> None:
    box = Box(label="a", inner=Box2(3), parts=[Box2(), Box2(1)], sizes={"x": 2})
    assert command_of(BoxesApi.put).arguments((box, "hi"), {"force": True}) == (
        "boxes.put",
        {
            "box": {"label": "a", "inner": {"number": 3}, "parts": [{}, {"number": 1}], "sizes": {"x": 2}},
            "note": "hi",
            "force": True,
        },
        b"",
    )


def test_parameters_at_their_default_are_left_out() -> None:
    assert command_of(BoxesApi.put).arguments((Box(label="a"), ""), {"force": False}).params == {"box": {"label": "a"}}


def test_bytes_travel_as_the_attachment() -> None:
    assert command_of(BoxesApi.pack).arguments(("a", b"\x00\xff"), {"at": 7}) == (
        "boxes.pack",
        {"label": "a", "at": 7},
        b"\x00\xff",
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((), {}, "label"),
        (("a",), {"label": "b"}, "label"),
        (("a",), {"colour": 1}, "colour"),
        (("a", "b"), {}, ""),
    ],
)
def test_arguments_that_do_not_fit_the_signature_are_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        command_of(BoxesApi.find).arguments(args, kwargs)
    assert caught.value.field == named


def test_keyword_only_parameters_are_not_taken_by_position() -> None:
    with pytest.raises(UsageError):
        command_of(BoxesApi.put).arguments((Box(label="a"), "", True), {})


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(UsageError, match="object cannot be sent"):
        command_of(BoxesApi.find).arguments((object(),), {})


def test_two_attachments_in_one_command_are_a_mistake_of_ours() -> None:
    class Greedy(Protocol):
        async def both(self, one: bytes, two: bytes) -> None: ...

    with pytest.raises(TypeError, match="one, two"):
        Commands("greedy", Greedy)


def test_unregistered_methods_are_refused() -> None:
    with pytest.raises(UsageError, match="not a registered command"):
        command_of(FakeCaller.call)


def test_commands_are_the_public_methods_in_order_with_their_docs() -> None:
    assert [command.name for command in BOXES] == [
        "boxes.put",
        "boxes.find",
        "boxes.every",
        "boxes.pack",
        "boxes.unpack",
        "boxes.pair",
    ]
    assert BOXES["find"].doc == "Find a box."
    assert BOXES["pack"].attachment == "data"
    assert BOXES["find"].attachment == ""


def test_results_become_their_declared_types() -> None:
    plain = {"label": "a", "side_m": 2, "inner": {"number": 1}, "parts": [{"number": 2}], "sizes": {"x": 1}}
    box = Box(label="a", side_m=2, inner=Box2(1), parts=[Box2(2)], sizes={"x": 1})
    assert command_of(BoxesApi.put).decode(plain) == box
    assert command_of(BoxesApi.every).decode([plain, plain]) == [box, box]
    assert command_of(BoxesApi.find).decode(plain) == box
    assert command_of(BoxesApi.find).decode(None) is None
    assert command_of(BoxesApi.pair).decode([1, 2]) == (1, 2)
    assert command_of(BoxesApi.pack).decode({"ignored": 1}) is None
    assert command_of(BoxesApi.unpack).decode(None, b"raw") == b"raw"


def test_fields_of_a_newer_peer_are_ignored_and_missing_ones_keep_their_default() -> None:
    assert command_of(BoxesApi.find).decode({"label": "a", "colour": "red"}) == Box(label="a")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ([], "Box: expected object, found list"),
        ({}, "Box.label is missing"),
        ({"label": 1}, "Box.label: expected str, found int"),
        ({"label": "", "side_m": "x"}, "Box.side_m: expected float, found str"),
        ({"label": "", "parts": {}}, "Box.parts: expected list, found dict"),
        ({"label": "", "sizes": []}, "Box.sizes: expected dict, found list"),
        ({"label": "", "inner": {"number": None}}, "Box2.number: expected int, found NoneType"),
    ],
)
def test_an_answer_of_the_wrong_shape_is_a_protocol_error(result: Any, text: str) -> None:
    with pytest.raises(ProtocolError, match=text) as caught:
        command_of(BoxesApi.put).decode(result)
    assert caught.value.reason == "answer"


def test_types_that_cannot_be_a_result_are_a_mistake_of_ours() -> None:
    class Odd(Protocol):
        async def union(self) -> int | str: ...
        async def things(self) -> set[int]: ...
        async def pair(self) -> tuple[int, str]: ...

    Commands("odd", Odd)
    for method in (Odd.union, Odd.things, Odd.pair):
        with pytest.raises(TypeError):
            command_of(method).decode(1)


_TEXT = st.text(max_size=5)
_BOX2 = st.builds(Box2, st.integers())
_BOX = st.builds(
    Box,
    label=_TEXT,
    side_m=st.floats(allow_nan=False, allow_infinity=False),
    mood=st.sampled_from(("", "good", "bad")),
    inner=st.none() | _BOX2,
    parts=st.lists(_BOX2, max_size=3),
    sizes=st.dictionaries(_TEXT, st.integers(), max_size=3),
)


@given(_BOX)
def test_what_is_sent_plain_decodes_to_the_same_value(box: Box) -> None:
    assert command_of(BoxesApi.put).decode(to_plain(box)) == box


def test_invoke_knows_its_result_type() -> None:
    caller = FakeCaller({"label": "a"})
    found = finish(invoke(caller, BoxesApi.find, "a"))
    assert found == Box(label="a")
    assert caller.asked == [("boxes.find", {"label": "a"}, b"", None)]


def test_invoke_blocking_is_its_twin() -> None:
    caller = FakeBlockingCaller([{"label": "a"}])
    found = invoke_blocking(caller, BoxesApi.every)
    assert_type(found, list[Box])
    assert found == [Box(label="a")]


def test_within_puts_a_deadline_on_each_call() -> None:
    caller, blocking = FakeCaller(), FakeBlockingCaller()
    finish(invoke(within(caller, 2.5), BoxesApi.pack, "a", data=b"x"))
    invoke_blocking(within_blocking(blocking, 1.5), BoxesApi.pack, "a", b"x")
    assert caller.asked == [("boxes.pack", {"label": "a"}, b"x", 2.5)]
    assert blocking.asked == [("boxes.pack", {"label": "a"}, b"x", 1.5)]


def test_the_jobs_api_travels() -> None:
    assert command_of(JobsApi.start).arguments((JobSpec(command=["true"], tty=False),), {}) == (
        "jobs.start",
        {"spec": {"command": ["true"], "tty": False}},
        b"",
    )
    info = JobInfo(id="0", name="n", state="done", exit_code=0, usage=Usage(user_s=1.0))
    assert command_of(JobsApi.get).decode(to_plain(info)) == info


def test_importing_commands_needs_neither_asyncio_nor_msgspec() -> None:
    script = (
        "import sys, holdfast.rpc.commands; print(sorted({'asyncio', 'msgspec', 'logging', 're'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert set(eval(done.stdout)) <= {"re"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_refused_and_not_sent_as_null(number: float) -> None:
    with pytest.raises(UsageError, match=r"^times: -?(nan|inf) is no number in JSON"):
        to_plain({"grace": [number]}, "times")
