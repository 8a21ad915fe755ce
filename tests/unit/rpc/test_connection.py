"""The connection: calls both ways, events, cancellation, deadlines, limits, goodbyes, and everything malformed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.errors import (
    BusyError,
    ClosedError,
    Conflict,
    DeadlineExceeded,
    DisconnectedError,
    InternalError,
    LimitExceeded,
    NotFound,
    ProtocolError,
    UsageError,
)
from holdfast.limits import LIMITS
from holdfast.rpc.bodies import JsonCodec
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import (
    CallCancelled,
    ClosedByPeer,
    ErrorReceived,
    Event,
    EventReceived,
    Failed,
    RequestReceived,
    ResponseReceived,
)
from holdfast.rpc.frames import FrameReader, FrameType, encode_attached, encode_data, encode_frame
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.states import ACCEPTED, TRANSITIONS, Link, Role, State, Step, after, diagram
from holdfast.streams.packets import Data
from holdfast.streams.reader import Reader
from holdfast.streams.writer import Writer

if TYPE_CHECKING:
    from tests.unit.rpc.conftest import MakePair, Pair

OpenedPair = Callable[..., "Pair"]
SMALL = LIMITS._replace(
    frame_bytes_max=2000,
    request_bytes_max=1000,
    handshake_frame_bytes_max=1000,
    control_queue_bytes_max=2000,
    calls_in_flight_max=3,
)


def call(pair: Pair, method: str = "m", params: dict[str, Any] | None = None, **options: Any) -> int:
    return pair.client.call(method, params or {}, now=pair.now, **options)


def state_of(connection: Connection) -> State:
    return connection.state


# calls and events


def test_a_call_and_its_answer(pair: Pair) -> None:
    number = call(pair, "jobs.get", {"job": "ä"}, attachment=b"raw\0", deadline_s=3.0)
    pair.settle()
    assert pair.take() == ([], [RequestReceived(1, "jobs.get", {"job": "ä"}, b"raw\0", 103.0)])
    assert (pair.client.calls_outgoing, pair.server.calls_incoming) == (1, 1)
    pair.server.respond(number, {"result": [1, None]}, b"out")
    pair.settle()
    assert pair.take() == ([ResponseReceived(1, {"result": [1, None]}, b"out")], [])
    assert (pair.client.calls_outgoing, pair.server.calls_incoming) == (0, 0)


def test_an_error_keeps_its_class_and_fields(pair: Pair) -> None:
    number = call(pair)
    pair.settle()
    pair.server.respond_error(number, BusyError("taken", holder="them"))
    pair.settle()
    (event,), _ = pair.take()
    assert isinstance(event, ErrorReceived) and isinstance(event.error, BusyError)
    assert (event.error.message, event.error.holder) == ("taken", "them")


def test_both_ends_call_with_numbers_of_their_own(pair: Pair) -> None:
    up, down = call(pair, "up"), pair.server.call("down", {}, now=pair.now)
    assert up == down == 1
    pair.settle()
    pair.server.respond(1, "from server")
    pair.client.respond(1, "from client")
    pair.settle()
    at_client, at_server = pair.take()
    assert ResponseReceived(1, "from server", b"") in at_client
    assert ResponseReceived(1, "from client", b"") in at_server


def test_events_of_a_call_and_of_the_connection(pair: Pair) -> None:
    number = call(pair)
    pair.settle()
    pair.server.emit(number, "progress", {"done": 1}, b"bin")
    pair.server.emit(0, "exited", None)
    pair.server.respond(number, None)
    pair.server.emit(number, "too late", None)
    pair.settle()
    assert pair.take()[0] == [
        EventReceived(1, "progress", {"done": 1}, b"bin"),
        EventReceived(0, "exited", None, b""),
        ResponseReceived(1, None, b""),
    ]


def test_a_cancelled_call_has_no_answer(pair: Pair) -> None:
    number = call(pair)
    pair.settle()
    pair.take()
    assert pair.client.cancel_call(number) and not pair.client.cancel_call(number)
    pair.server.emit(number, "under way", 1)
    pair.server.respond(number, "under way")
    pair.settle()
    assert pair.take() == ([], []), "answered before the cancel came, and nobody waits any more"
    number = call(pair)
    pair.settle()
    pair.client.cancel_call(number)
    pair.settle()
    pair.server.respond(number, "nobody waits")
    pair.server.respond_error(number, NotFound())
    pair.server.emit(number, "nobody waits", 1)
    pair.settle()
    assert pair.take() == ([], [RequestReceived(2, "m", {}, b"", None), CallCancelled(2)])


def test_a_deadline_fails_here_and_cancels_there(pair: Pair) -> None:
    late, early = call(pair, deadline_s=2.0), call(pair, deadline_s=1.0)
    answered = call(pair, deadline_s=1.5)
    pair.settle()
    pair.server.respond(answered, 1)
    pair.settle()
    pair.take()
    assert pair.client.next_deadline() == 101.0
    pair.advance(1.0)
    at_client, at_server = pair.take()
    (event,) = at_client
    assert isinstance(event, ErrorReceived) and event.number == early
    assert isinstance(event.error, DeadlineExceeded)
    assert (event.error.phase, event.error.after_s, event.error.safe_to_retry) == ("call", 1.0, False)
    assert at_server == [CallCancelled(early)]
    assert pair.client.next_deadline() == 102.0
    assert pair.client.cancel_call(late) and pair.client.next_deadline() == 105.0, "the next ping"


def test_deadlines_of_answered_calls_do_not_pile_up(pair: Pair) -> None:
    for _ in range(1000):
        number = call(pair, deadline_s=1e6)
        pair.settle()
        pair.server.respond(number, 1)
        pair.settle()
    assert len(pair.client._calls._outgoing._deadlines) < 100


def test_a_call_needs_an_open_connection(make_pair: MakePair) -> None:
    pair = make_pair(LocalClient(), LocalOwner(1, 1))
    with pytest.raises(UsageError, match="not open yet"):
        call(pair)
    pair.settle()
    pair.client.goodbye()
    with pytest.raises(ClosedError):
        call(pair)
    pair.settle()
    with pytest.raises(DisconnectedError, match="the peer closed the connection"):
        pair.server.call("m", {}, now=pair.now)


# limits


def test_too_many_calls_are_refused_at_both_ends(opened_pair: OpenedPair) -> None:
    pair = opened_pair(SMALL)
    pair.client = Connection(Role.CLIENT, LocalClient(), now=pair.now)
    pair.server = Connection(Role.SERVER, LocalOwner(1, 1), now=pair.now, limits=SMALL)
    pair.settle()
    pair.take()
    numbers = [call(pair) for _ in range(4)]
    pair.settle()
    (event,), at_server = pair.take()
    assert isinstance(event, ErrorReceived) and event.number == numbers[3]
    assert isinstance(event.error, LimitExceeded)
    assert (event.error.name, event.error.limit, event.error.value) == ("calls_in_flight_max", 3, 4)
    assert len(at_server) == 3


def test_too_many_calls_of_our_own(opened_pair: OpenedPair) -> None:
    pair = opened_pair(SMALL)
    for _ in range(3):
        call(pair)
    with pytest.raises(LimitExceeded, match="calls_in_flight_max: 4 is over the limit of 3"):
        call(pair)


@pytest.mark.parametrize(
    ("params", "attachment", "name"),
    [({"x": "y" * 1000}, b"", "request_bytes_max"), ({}, bytes(2000), "frame_bytes_max")],
)
def test_a_call_that_is_too_large(
    opened_pair: OpenedPair, params: dict[str, Any], attachment: bytes, name: str
) -> None:
    pair = opened_pair(SMALL)
    with pytest.raises(LimitExceeded) as caught:
        call(pair, params=params, attachment=attachment)
    assert caught.value.name == name and pair.client.calls_outgoing == 0
    assert not pair.turn()


def test_a_request_that_is_too_large_for_the_peer_is_answered(opened_pair: OpenedPair) -> None:
    pair = opened_pair(SMALL)
    call(pair)
    pair.settle()
    pair.take()
    json = JsonCodec().encode({"method": "m", "params": {"x": "y" * 1500}})
    frame = encode_frame(FrameType.REQUEST, 9, json)
    assert pair.server.receive_bytes(frame, pair.now) == []
    (answer,) = frames_from(pair.server, pair.now)
    assert (answer.type, answer.number) == (FrameType.RESPONSE, 9) and b"request_bytes_max" in bytes(answer.body)


def test_an_answer_that_is_too_large_says_so(opened_pair: OpenedPair) -> None:
    pair = opened_pair(SMALL)
    number = call(pair)
    pair.settle()
    pair.server.respond(number, "x" * 2000)
    pair.settle()
    (event,), _ = pair.take()
    assert isinstance(event, ErrorReceived) and isinstance(event.error, LimitExceeded)
    assert event.error.name == "frame_bytes_max"


@pytest.mark.parametrize("error", [Conflict(expected=object()), NotFound("long " * 1000)])
def test_an_error_that_cannot_be_sent_is_named(opened_pair: OpenedPair, error: Conflict | NotFound) -> None:
    pair = opened_pair(SMALL)
    number = call(pair)
    pair.settle()
    pair.server.respond_error(number, error)
    pair.settle()
    (event,), _ = pair.take()
    assert isinstance(event, ErrorReceived) and isinstance(event.error, InternalError)
    assert f"{type(error).__name__} could not be sent" in event.error.message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\udcff"])
def test_parameters_that_json_cannot_say_are_the_callers_mistake(pair: Pair, value: object) -> None:
    with pytest.raises(UsageError, match=r"^m: "):
        pair.client.call("m", {"x": value}, now=0.0)
    assert pair.client.calls_outgoing == 0
    assert pair.client.control_bytes_queued == 0


def test_a_result_that_is_no_json_leaves_the_call_open(pair: Pair) -> None:
    number = call(pair)
    pair.settle()
    with pytest.raises(TypeError):
        pair.server.respond(number, object())
    with pytest.raises(ValueError):
        pair.server.respond(number, float("nan"))
    assert pair.server.calls_incoming == 1


def test_events_for_a_peer_that_does_not_read_are_not_taken(opened_pair: OpenedPair) -> None:
    pair = opened_pair(SMALL)
    with pytest.raises(LimitExceeded, match="control_queue_bytes_max"):
        for _ in range(100):
            pair.server.emit(0, "tick", "x" * 100)
    assert 1800 < pair.server.control_bytes_queued <= 2000 + 10
    pair.settle()
    assert pair.server.control_bytes_queued == 0 and len(pair.take()[0]) > 10
    pair.server.emit(0, "tick", 1)


def test_calls_of_a_peer_that_does_not_read_are_refused_then_cut(opened_pair: OpenedPair) -> None:
    pair = opened_pair(SMALL)
    request = encode_frame(FrameType.REQUEST, 1, b'{"method":"m"}')
    events: list[Event] = []
    for number in range(1, 1000):
        frame = request[:6] + struct.pack(">I", number) + request[10:]
        events += pair.server.receive_bytes(frame, pair.now)
        pair.server.respond(number, "x" * 500)
        assert pair.server.control_bytes_queued < 3 * SMALL.control_queue_bytes_max
    assert 3 < sum(isinstance(event, RequestReceived) for event in events) < 10
    last = events[-1]
    assert isinstance(last, Failed) and isinstance(last.error, LimitExceeded)
    assert last.error.name == "control_queue_bytes_max"


def test_a_flood_of_pings_does_not_pile_up(pair: Pair) -> None:
    flood = b"".join(encode_frame(FrameType.PING, 0, struct.pack(">Q", opaque)) for opaque in range(10_000))
    assert pair.server.receive_bytes(flood, pair.now) == []
    assert len(frames_from(pair.server, pair.now)) == 16


# the end


def test_an_orderly_goodbye_lets_answers_leave_first(pair: Pair) -> None:
    number = call(pair)
    pair.settle()
    pair.take()
    pair.server.respond(number, 1)
    pair.server.goodbye(retry_after_s=2.5)
    pair.server.goodbye()
    assert state_of(pair.server) is State.CLOSING and pair.server.link is Link.CLOSED
    pair.settle()
    assert pair.take() == ([ResponseReceived(1, 1, b""), ClosedByPeer(None, 2.5)], [])
    assert pair.client.finished and pair.server.finished and pair.server.next_deadline() is None


def test_a_goodbye_with_a_reason(pair: Pair) -> None:
    pair.server.goodbye(BusyError("another node took over", holder="node 2"))
    pair.settle()
    (event,), _ = pair.take()
    assert isinstance(event, ClosedByPeer) and isinstance(event.error, BusyError)
    assert event.error.holder == "node 2"


def test_a_goodbye_that_cannot_leave_is_cut(pair: Pair) -> None:
    pair.server.goodbye()
    assert pair.server.next_deadline() == 102.0
    assert pair.server.handle_timer(101.9) == [] and not pair.server.finished
    assert pair.server.handle_timer(102.0) == [] and pair.server.finished


def test_both_say_goodbye_at_once(pair: Pair) -> None:
    pair.client.goodbye()
    pair.server.goodbye()
    pair.settle()
    assert pair.take() == ([], [])
    assert pair.client.finished and pair.server.finished


def test_a_cut_is_not_a_goodbye(pair: Pair) -> None:
    (event,) = pair.client.receive_eof(pair.now)
    assert isinstance(event, Failed) and isinstance(event.error, DisconnectedError)
    assert pair.client.finished and pair.client.receive_eof(pair.now) == []
    with pytest.raises(DisconnectedError, match="the link was cut"):
        call(pair)


def test_a_cut_after_our_goodbye_is_no_event(pair: Pair) -> None:
    pair.client.goodbye()
    assert pair.client.receive_eof(pair.now) == [] and pair.client.finished


def test_nothing_is_done_once_it_is_over(pair: Pair) -> None:
    pair.client.receive_eof(pair.now)
    assert pair.client.receive_bytes(encode_frame(FrameType.PING, 0, bytes(8)), pair.now) == []
    pair.client.respond(1, 1)
    pair.client.respond_error(1, NotFound())
    pair.client.emit(0, "x", 1)
    assert not pair.client.cancel_call(1)
    assert pair.client.data_to_send(1000, pair.now) == [] and pair.client.handle_timer(1e9) == []


# what a peer can do wrong once it is open


def frames_from(connection: Connection, now: float) -> list[Any]:
    reader = FrameReader(1 << 20)
    list(reader.frames(b"HFR1"))
    return list(reader.frames(b"".join(connection.data_to_send(1 << 20, now))))


def frame(frame_type: int, body: bytes = b"", number: int = 1, flags: int = 0) -> bytes:
    return encode_frame(frame_type, number, body, flags)


MALFORMED = {
    "too large": (struct.pack(">I", LIMITS.frame_bytes_max + 7), "frame-too-large"),
    "too short": (struct.pack(">I", 3), "malformed"),
    "unknown type": (frame(99), "unknown-type"),
    "request: bad JSON": (frame(FrameType.REQUEST, b"{"), "malformed"),
    "request: not UTF-8": (frame(FrameType.REQUEST, b'{"method":"\xff"}'), "malformed"),
    "request: half a surrogate pair": (frame(FrameType.REQUEST, b'{"method":"\\uD800"}'), "malformed"),
    "request: NaN": (frame(FrameType.REQUEST, b'{"method":"m","params":{"x":NaN}}'), "malformed"),
    "request: a bomb": (frame(FrameType.REQUEST, b"[" * 100_000), "malformed"),
    "request: a long number": (frame(FrameType.REQUEST, b"9" * 100_000), "malformed"),
    "request: no object": (frame(FrameType.REQUEST, b"[]"), "malformed"),
    "request: no method": (frame(FrameType.REQUEST, b"{}"), "malformed"),
    "request: params": (frame(FrameType.REQUEST, b'{"method":"m","params":[]}'), "malformed"),
    "request: deadline": (frame(FrameType.REQUEST, b'{"method":"m","deadline_s":"1"}'), "malformed"),
    "request: negative deadline": (frame(FrameType.REQUEST, b'{"method":"m","deadline_s":-1}'), "malformed"),
    "request: endless deadline": (frame(FrameType.REQUEST, b'{"method":"m","deadline_s":1e999}'), "malformed"),
    "request: attachment": (frame(FrameType.REQUEST, b"\0\0\0\x09{}", flags=2), "malformed"),
    "request: number 0": (frame(FrameType.REQUEST, b'{"method":"m"}', 0), "duplicate-call"),
    "request: number in use": (frame(FrameType.REQUEST, b'{"method":"m"}') * 2, "duplicate-call"),
    "response: never asked": (frame(FrameType.RESPONSE, b"1", 4), "unknown-call"),
    "response: number 0": (frame(FrameType.RESPONSE, b"1", 0), "unknown-call"),
    "response: bad JSON": (frame(FrameType.RESPONSE, b""), "malformed"),
    "response: bad error": (frame(FrameType.RESPONSE, b'"no"', flags=1), "malformed"),
    "response: bad error details": (
        frame(FrameType.RESPONSE, b'{"code":"deadline_exceeded","details":{"after_s":"soon"}}', flags=1),
        "malformed",
    ),
    "event: never asked": (frame(FrameType.EVENT, b'{"name":"x"}', 4), "unknown-call"),
    "event: no name": (frame(FrameType.EVENT, b"{}", 0), "malformed"),
    "ping": (frame(FrameType.PING, bytes(7)), "malformed"),
    "pong": (frame(FrameType.PONG, bytes(9)), "malformed"),
    "data: short": (frame(FrameType.DATA, bytes(7)), "malformed"),
    "data: unknown kind": (frame(FrameType.DATA, bytes(8), flags=9), "malformed"),
    "data: to a stream we write": (b"".join(encode_data(Data(2, 0, b"x"))), "wrong-direction"),
    "ack: short": (frame(FrameType.ACK, bytes(15)), "malformed"),
    "ack: text": (frame(FrameType.ACK, bytes(16) + b"\xff", flags=2), "malformed"),
    "ack: of a stream we read": (frame(FrameType.ACK, bytes(16), 3), "wrong-direction"),
    "goodbye: bad JSON": (frame(FrameType.GOODBYE, b"{"), "malformed"),
    "goodbye: retry": (frame(FrameType.GOODBYE, b'{"retry_after_s":[]}'), "malformed"),
    "hello again": (frame(FrameType.HELLO, b"{}"), "wrong-state"),
    "auth again": (frame(FrameType.AUTH, b"{}"), "wrong-state"),
    "ready again": (frame(FrameType.READY, b"{}"), "wrong-state"),
}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("name", MALFORMED)
def test_a_broken_contract_is_named_answered_and_ends_it(pair: Pair, name: str, at_once: bool) -> None:
    data, reason = MALFORMED[name]
    server = pair.server
    server.call("m", {}, now=pair.now)
    server.broker.add_sender(Writer(2))
    server.broker.add_reader(Reader(3))
    server.data_to_send(1 << 20, pair.now)
    healthy = frame(FrameType.PING, bytes(8), 0)
    if not at_once:
        assert server.receive_bytes(healthy, pair.now) == []
        for byte in data[:-1]:
            server.receive_bytes(bytes([byte]), pair.now)
        events = server.receive_bytes(data[-1:], pair.now)
        events = events or [Failed(ProtocolError(reason=reason))]
    else:
        events = server.receive_bytes(healthy + data + healthy, pair.now)
        failed = events[-1]
        assert isinstance(failed, Failed) and isinstance(failed.error, ProtocolError), events
        assert failed.error.reason == reason
        assert failed.error.offset > 0
    assert server.link is Link.CLOSED and server.control_bytes_queued < 1000
    goodbye = frames_from(server, pair.now)[-1]
    assert goodbye.type == FrameType.GOODBYE
    body = JsonCodec().decode(goodbye.body)
    assert (body["code"], body["details"]["reason"]) == ("protocol", reason)
    assert server.finished


def test_a_truncated_frame_is_a_cut(pair: Pair) -> None:
    assert pair.server.receive_bytes(frame(FrameType.PING, bytes(8))[:-1], pair.now) == []
    (event,) = pair.server.receive_eof(pair.now)
    assert isinstance(event, Failed) and isinstance(event.error, DisconnectedError)


def test_a_strangers_bytes_are_answered_in_our_tongue(keeper_pair: Pair) -> None:
    (event,) = keeper_pair.server.receive_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", keeper_pair.now)
    assert isinstance(event, Failed) and isinstance(event.error, ProtocolError)
    assert event.error.reason == "preamble"
    said = b"".join(keeper_pair.server.data_to_send(1 << 20, keeper_pair.now))
    assert said.startswith(b"HFR1") and b'"reason":"preamble"' in said
    assert keeper_pair.server.finished


def test_large_frames_are_for_those_who_have_proven_themselves(keeper_pair: Pair, pair: Pair) -> None:
    large = struct.pack(">IB", LIMITS.handshake_frame_bytes_max + 7, FrameType.AUTH)
    (event,) = keeper_pair.server.receive_bytes(b"HFR1" + large, keeper_pair.now)
    assert isinstance(event, Failed) and isinstance(event.error, ProtocolError)
    assert event.error.reason == "frame-too-large"
    assert pair.server.receive_bytes(large[:4] + bytes([FrameType.REQUEST]), pair.now) == []


def test_unknown_optional_frames_and_flags_are_ignored(pair: Pair) -> None:
    call(pair)
    pair.settle()
    pair.take()
    strange = encode_frame(0xC1, 5, b"?") + encode_attached(FrameType.RESPONSE, 1, b"true", b"", flags=0x40)
    assert pair.client.receive_bytes(strange, pair.now) == [ResponseReceived(1, True, b"")]


# states


def test_every_state_ends() -> None:
    for state in State:
        if state is not State.CLOSED:
            assert after(state, Step.CUT) is State.CLOSED
    assert not any(state is State.CLOSED for state, _ in TRANSITIONS)
    assert set(ACCEPTED) == set(State)


def test_a_step_the_table_does_not_have_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="no way"):
        after(State.CLOSED, Step.PROVEN)


def test_the_diagram_has_every_step() -> None:
    drawn = diagram()
    assert drawn.startswith("stateDiagram-v2")
    for (state, step), to in TRANSITIONS.items():
        assert f"{state.value} --> {to.value}: {step.value}" in drawn


def test_stream_numbers_of_the_two_ends_differ(pair: Pair) -> None:
    assert [pair.client.next_stream_id() for _ in range(2)] == [1, 3]
    assert [pair.server.next_stream_id() for _ in range(2)] == [2, 4]
    pair.client._next_stream, pair.server._next_stream = 2**32 - 1, 2**32 - 2
    assert [pair.client.next_stream_id() for _ in range(2)] == [2**32 - 1, 1]
    assert [pair.server.next_stream_id() for _ in range(2)] == [2**32 - 2, 2]
