"""One RPC connection, sans-I/O: bytes in, events out; calls and streams in, bytes out.

A shell owns the transport.  It feeds :meth:`Connection.receive_bytes`, acts on the events, sends what
:meth:`Connection.data_to_send` gives, calls :meth:`Connection.handle_timer` at :meth:`Connection.next_deadline`, and
closes the transport once :attr:`Connection.finished`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from ..errors import DeadlineExceeded, DisconnectedError, HoldfastError, ProtocolError, UsageError
from ..limits import LIMITS, Limits
from ..streams.broker import NO_EVENTS, STREAM_ID_MAX, Broker
from .bodies import Codec, JsonCodec
from .calls import Calls
from .events import Event, Opened, Recovered, Stalled, StreamReadable, StreamWritable
from .farewell import Farewell
from .frames import (
    OPTIONAL,
    Frame,
    FrameReader,
    FrameType,
    decode_ack,
    decode_data,
    decode_opaque,
    encode_ack,
)
from .handshake.greeting import Authenticator, Greeting
from .liveness import Liveness
from .outbox import Outbox, take_acks, take_packets
from .states import ACCEPTED, CONNECTING, OVER, Link, Role, State, Step, after

_DATA = int(FrameType.DATA)


class Connection:
    """One end of a connection.  Never blocks, never fails on what the peer sends: it says Failed and goodbye.

    ``role``: whether this end dialed.  ``authenticator``: this end's part of proving who is there.  ``codec``: JSON of
    control bodies.  ``features``: names of optional abilities this end has.  ``now``: seconds on the clock that
    every other ``now`` comes from.
    """

    def __init__(
        self,
        role: Role,
        authenticator: Authenticator,
        *,
        now: float,
        codec: Codec | None = None,
        limits: Limits = LIMITS,
        features: Iterable[str] = (),
    ) -> None:
        self.role = role
        self.limits = limits
        self.authenticator = authenticator
        """Knows, once open, more of the peer than its name."""
        self.identity = ""
        """Who called, once open: the client, as the server proved it."""
        self.features: frozenset[str] = frozenset()
        """What both ends can do, once open."""
        self.broker = Broker(limits.streams_per_connection_max)
        """The streams of this connection."""
        self._codec = codec or JsonCodec()
        self._state = State.GREETING
        self._accepted = ACCEPTED[State.GREETING]
        self._reader = FrameReader(min(limits.handshake_frame_bytes_max, limits.frame_bytes_max))
        self._outbox = Outbox()
        self._greeting = Greeting(role, authenticator, self._codec, self._outbox, features)
        self._calls = Calls(self._codec, self._outbox, limits)
        self._liveness = Liveness(limits, now)
        self._farewell = Farewell(self._codec, self._outbox, limits)
        self._events: list[Event] = []
        self._handshake_until = now + limits.handshake_s
        self._now = now
        self._next_stream = 1 if role is Role.CLIENT else 2

    # what can be seen

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        return self._state

    @property
    def link(self) -> Link:
        """What the connection looks like from outside; open means that the peer answers."""
        if self._state is State.OPEN:
            return Link.STALLED if self._liveness.stalled else Link.OPEN
        return Link.CONNECTING if self._state in CONNECTING else Link.CLOSED

    @property
    def finished(self) -> bool:
        """Whether the connection is over and nothing is left to send: close the transport."""
        return self._state is State.CLOSED

    @property
    def version(self) -> tuple[int, int]:
        """The protocol version both ends speak, once HELLO was exchanged."""
        return self._greeting.version

    @property
    def calls_outgoing(self) -> int:
        """Our calls that wait for an answer."""
        return self._calls.outgoing_count

    @property
    def calls_incoming(self) -> int:
        """The peer's calls that have no answer yet."""
        return self._calls.incoming_count

    @property
    def control_bytes_queued(self) -> int:
        """Bytes of requests, answers and events that wait to be sent."""
        return self._outbox.control_bytes

    def next_stream_id(self) -> int:
        """A stream number neither end has used: odd ones are the client's to give, even ones the server's."""
        number = self._next_stream
        self._next_stream = (number + 2) & STREAM_ID_MAX or 2
        return number

    # what the shell feeds

    def receive_bytes(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Take what the transport received; what it means, in order.

        ``data`` may be a buffer that is used again after the call.
        """
        self._now = now
        if self._state not in OVER:
            try:
                self._receive_frames(data, now)
            except HoldfastError as error:
                self._fail(self._located(error))
        return self._take_events()

    def receive_eof(self, now: float) -> list[Event]:
        """The transport ended or broke: the link is cut, unless a goodbye came before."""
        self._now = now
        if self._state is not State.CLOSED:
            cut = self._state is not State.CLOSING
            self._step(Step.CUT)
            if cut:
                self._events.append(self._farewell.cut())
        return self._take_events()

    def data_to_send(self, max_bytes: int, now: float) -> list[bytes]:
        """Buffers to send, in order; at least one frame if any waits, then no more once ``max_bytes`` are reached.

        They are the caller's to keep.  An empty list: nothing may leave now.  Ask again after every other call here.
        """
        self._now = now
        out: list[bytes] = []
        room = self._outbox.take_urgent(out, max_bytes)
        if self._state is State.OPEN:
            room = take_acks(self.broker, out, room)
        room = self._outbox.take_control(out, room)
        if self._state is State.OPEN:
            if take_packets(self.broker, out, room, now) < room:
                self._liveness.data_sent(now)
        elif self._state is State.CLOSING and not self._outbox.has_control:
            self._step(Step.FLUSHED)
        return out

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` wants to be called, on the scale of ``now``; None: not at all."""
        if self._state in CONNECTING:
            return self._handshake_until
        if self._state is State.OPEN:
            deadlines = (self._liveness.next_deadline(), self._calls.next_deadline(), self.broker.next_deadline())
            return min(deadline for deadline in deadlines if deadline is not None)
        return self._farewell.until if self._state is State.CLOSING else None

    def handle_timer(self, now: float) -> list[Event]:
        """Time has passed: what that changes.  May be called early and often."""
        self._now = now
        if self._state in CONNECTING and now >= self._handshake_until:
            self._fail(DeadlineExceeded(phase="handshake", after_s=self.limits.handshake_s, safe_to_retry=True))
        elif self._state is State.OPEN:
            self._events += self._calls.expire(now)
            self.broker.handle_timer(now)
            self._handle_liveness(now)
        elif self._state is State.CLOSING and now >= self._farewell.until:
            self._step(Step.CUT)
        return self._take_events()

    # what the application asks

    def call(
        self,
        method: str,
        params: dict[str, Any],
        attachment: bytes = b"",
        deadline_s: float | None = None,
        *,
        now: float,
    ) -> int:
        """Queue a call; the number that its ResponseReceived or ErrorReceived carries.

        ``deadline_s``: seconds from now after which it fails with DeadlineExceeded and is cancelled at the peer.
        Raises UsageError before the connection is open, ClosedError or DisconnectedError after, LimitExceeded.
        """
        self._now = now
        self._check_open()
        return self._calls.call(method, params, attachment, deadline_s, now)

    def cancel_call(self, number: int) -> bool:
        """Give up a call of ours; no event of it follows.  Whether it was still waiting."""
        return self._state is State.OPEN and self._calls.cancel(number)

    def respond(self, number: int, result: Any, attachment: bytes = b"") -> None:
        """Answer the peer's call; dropped if it was cancelled or the connection is over.

        An answer too large for a frame is sent as the LimitExceeded that says so.  TypeError or ValueError if
        ``result`` is not JSON: the call is still open then.
        """
        if self._state is State.OPEN:
            self._calls.respond(number, result, attachment)

    def respond_error(self, number: int, error: HoldfastError) -> None:
        """Answer the peer's call with an error; dropped if it was cancelled or the connection is over."""
        if self._state is State.OPEN:
            self._calls.respond_error(number, error)

    def emit(self, number: int, name: str, body: Any, attachment: bytes = b"") -> None:
        """Push an event on the peer's open call ``number``, or with 0 to the whole connection.

        Dropped if that call or the connection is over.  LimitExceeded if the peer reads too slowly
        (``control_queue_bytes_max``) or it is too large; nothing was queued then.
        """
        if self._state is State.OPEN:
            self._calls.emit(number, name, body, attachment)

    def goodbye(self, error: HoldfastError | None = None, retry_after_s: float = 0.0) -> None:
        """Close: what is queued leaves first, then the goodbye with its reason; streams are cut, not ended.

        Acknowledgements leave too, stream data does not.  ``retry_after_s``: ask the peer to stay away for so long.
        Idempotent.
        """
        if self._state not in OVER:
            while self._state is State.OPEN and (ack := self.broker.next_ack()):
                self._outbox.put(encode_ack(ack))
            self._farewell.say(error, retry_after_s, self._now)
            self._step(Step.GOODBYE_SENT)

    # inside

    def _receive_frames(self, data: bytes | bytearray | memoryview, now: float) -> None:
        moved = False
        receive_data = self.broker.receive_data
        for frame in self._reader.frames(data):
            if frame[0] == _DATA and self._state is State.OPEN:
                moved = True
                if not receive_data(decode_data(frame), now):
                    self._check_direction(frame.number, is_data=True)
            else:
                self._receive_frame(frame, now)
                if self._state in OVER:
                    return
        if moved:
            self._progressed(now)

    def _check_direction(self, stream: int, *, is_data: bool) -> None:
        """Refuse data for a stream that we write, and acknowledgements of one that we read."""
        if stream in self.broker:
            what = "DATA for stream {} that this end writes" if is_data else "ACK of stream {} that this end reads"
            raise ProtocolError(what.format(stream), "wrong-direction")

    def _receive_frame(self, frame: Frame, now: float) -> None:
        if frame.type & OPTIONAL:
            return
        if frame.type not in self._accepted:
            reason = "not-open" if self._state in CONNECTING else "wrong-state"
            raise ProtocolError(f"{FrameType(frame.type).name} while {self._state.value}", reason)
        self._HANDLERS[frame.type](self, frame, now)

    def _receive_hello(self, frame: Frame, now: float) -> None:
        self._greeting.receive_hello(frame)
        self._step(Step.HELLO_AGREED)

    def _receive_auth(self, frame: Frame, now: float) -> None:
        opened = self._greeting.receive_auth(frame)
        if opened is not None:
            self._open(opened, now)

    def _receive_ready(self, frame: Frame, now: float) -> None:
        self._open(self._greeting.receive_ready(frame), now)

    def _receive_goodbye(self, frame: Frame, now: float) -> None:
        self._events.append(self._farewell.hear(frame))
        self._step(Step.GOODBYE_RECEIVED)

    def _receive_ping(self, frame: Frame, now: float) -> None:
        self._outbox.pong(decode_opaque(frame))

    def _receive_pong(self, frame: Frame, now: float) -> None:
        if self._liveness.pong_received(decode_opaque(frame), now):
            self._events.append(Recovered())

    def _receive_request(self, frame: Frame, now: float) -> None:
        self._add(self._calls.receive_request(frame, now))

    def _receive_response(self, frame: Frame, now: float) -> None:
        self._add(self._calls.receive_response(frame))
        self._progressed(now)

    def _receive_cancel(self, frame: Frame, now: float) -> None:
        self._add(self._calls.receive_cancel(frame))

    def _receive_event(self, frame: Frame, now: float) -> None:
        self._add(self._calls.receive_event(frame))

    def _receive_ack(self, frame: Frame, now: float) -> None:
        ack = decode_ack(frame)
        if self.broker.sender(ack.stream) is None:
            self._check_direction(ack.stream, is_data=False)
        self.broker.receive_ack(ack, now)
        self._progressed(now)

    def _open(self, opened: Opened, now: float) -> None:
        self._step(Step.PROVEN)
        self._reader.frame_bytes_max = self.limits.frame_bytes_max
        self.identity, self.features = opened.identity, opened.features
        self._liveness = Liveness(self.limits, now)
        self._events.append(opened)

    def _progressed(self, now: float) -> None:
        if self._liveness.progressed(now):
            self._events.append(Recovered())

    def _handle_liveness(self, now: float) -> None:
        liveness = self._liveness
        if liveness.is_gone(now):
            silent_s = self.limits.give_up_s
            self._fail(DisconnectedError(f"the link is dead: no progress for {silent_s:g} s (give_up_s)"))
            return
        if liveness.stall_due(now):
            self._events.append(Stalled())
        if liveness.ping_due(now):
            self._outbox.ping(liveness.next_ping(now))

    def _check_open(self) -> None:
        if self._state in CONNECTING:
            raise UsageError("the connection is not open yet")
        if self._state in OVER:
            raise self._farewell.refusal()

    def _step(self, step: Step) -> None:
        self._state = after(self._state, step)
        self._accepted = ACCEPTED[self._state]

    def _fail(self, error: HoldfastError) -> None:
        self._events.append(self._farewell.fail(error, self._now))
        self._step(Step.GOODBYE_SENT)

    def _located(self, error: HoldfastError) -> HoldfastError:
        if isinstance(error, ProtocolError) and not error.offset:
            error.offset = self._reader.offset
        return error

    def _add(self, event: Event | None) -> None:
        if event is not None:
            self._events.append(event)

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        moved = self.broker.events()
        if moved is not NO_EVENTS:
            events += [StreamReadable(stream) for stream in moved.readable]
            events += [StreamWritable(stream) for stream in moved.writable]
            events += [StreamWritable(stream) for stream in moved.finished]
        return events

    _HANDLERS: ClassVar[dict[int, Callable[[Connection, Frame, float], None]]] = {
        FrameType.HELLO: _receive_hello,
        FrameType.AUTH: _receive_auth,
        FrameType.READY: _receive_ready,
        FrameType.GOODBYE: _receive_goodbye,
        FrameType.PING: _receive_ping,
        FrameType.PONG: _receive_pong,
        FrameType.REQUEST: _receive_request,
        FrameType.RESPONSE: _receive_response,
        FrameType.CANCEL: _receive_cancel,
        FrameType.EVENT: _receive_event,
        FrameType.ACK: _receive_ack,
    }
