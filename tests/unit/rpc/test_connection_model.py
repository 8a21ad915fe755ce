"""Two connections back to back against a model: any interleaving of calls, events, streams, in any chunking."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.errors import HoldfastError, NotFound
from holdfast.limits import LIMITS
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import (
    CallCancelled,
    ErrorReceived,
    Event,
    EventReceived,
    Opened,
    RequestReceived,
    ResponseReceived,
    StreamReadable,
    StreamWritable,
)
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.states import Link, Role
from holdfast.streams.reader import Chunk, End, Reader
from holdfast.streams.writer import Writer

TINY = LIMITS._replace(frame_bytes_max=300, request_bytes_max=300, packet_bytes_max=64, packet_bytes=32)
SIDES = st.booleans()
"""True: the client."""


class Side:
    """One end, what it sent that has not arrived, and what the model expects of it."""

    def __init__(self, core: Connection) -> None:
        self.core = core
        self.wire = b""
        """Sent by this end, not arrived."""
        self.asked: dict[int, Any] = {}
        """Our calls that wait: number → params."""
        self.to_answer: dict[int, Any] = {}
        """The peer's calls here: number → params."""
        self.answers: dict[int, Any] = {}
        """What the peer answered, for comparison at arrival."""
        self.pushed: list[Any] = []
        """Connection-wide events the peer pushed that have not arrived."""
        self.writers: dict[int, tuple[Writer, bytearray]] = {}
        self.readers: dict[int, tuple[Reader, bytearray]] = {}
        self.ended: set[int] = set()


class BackToBack(RuleBasedStateMachine):
    """The machine."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = {
            True: Side(Connection(Role.CLIENT, LocalClient(), now=0.0, limits=TINY)),
            False: Side(Connection(Role.SERVER, LocalOwner(1, 1), now=0.0, limits=TINY)),
        }
        self.opened = 0

    @property
    def open(self) -> bool:
        return self.opened == 2

    # the wire

    @rule(side=SIDES, max_bytes=st.integers(1, 400))
    def send(self, side: bool, max_bytes: int) -> None:
        end = self.ends[side]
        end.wire += b"".join(end.core.data_to_send(max_bytes, 0.0))

    @rule(side=SIDES, size=st.integers(1, 500))
    def arrive(self, side: bool, size: int) -> None:
        end = self.ends[side]
        chunk, end.wire = end.wire[:size], end.wire[size:]
        self._act(not side, self.ends[not side].core.receive_bytes(chunk, 0.0))

    # the application

    @precondition(lambda self: self.open)
    @rule(side=SIDES, params=st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
    def call(self, side: bool, params: dict[str, int]) -> None:
        end = self.ends[side]
        number = end.core.call("m", params, now=0.0)
        assert number not in end.asked
        end.asked[number] = params

    @rule(side=SIDES, data=st.data(), fails=st.booleans())
    def answer(self, side: bool, data: st.DataObject, fails: bool) -> None:
        end = self.ends[side]
        if not end.to_answer:
            return
        number = data.draw(st.sampled_from(sorted(end.to_answer)))
        params = end.to_answer.pop(number)
        if fails:
            end.core.respond_error(number, NotFound(kind="thing", name=str(params)))
            self.ends[not side].answers[number] = str(params)
        else:
            end.core.respond(number, params)
            self.ends[not side].answers[number] = params

    @rule(side=SIDES, data=st.data())
    def cancel(self, side: bool, data: st.DataObject) -> None:
        end = self.ends[side]
        if end.asked:
            number = data.draw(st.sampled_from(sorted(end.asked)))
            del end.asked[number]
            assert end.core.cancel_call(number)

    @precondition(lambda self: self.open)
    @rule(side=SIDES, body=st.integers())
    def emit(self, side: bool, body: int) -> None:
        self.ends[side].core.emit(0, "e", body)
        self.ends[not side].pushed.append(body)

    @precondition(lambda self: self.open)
    @rule(side=SIDES, window=st.integers(1, 200))
    def open_stream(self, side: bool, window: int) -> None:
        """Side reads, the other writes; both know, as after a call that named the number."""
        reading, writing = self.ends[side], self.ends[not side]
        stream = reading.core.next_stream_id()
        reader = Reader(stream, window_bytes=window)
        writer = Writer(stream, ring_bytes=256, window_bytes=64, packet_bytes=32, packet_bytes_max=64)
        reader.start()
        writing.core.broker.add_sender(writer)
        reading.core.broker.add_reader(reader)
        reading.readers[stream] = (reader, bytearray())
        writing.writers[stream] = (writer, bytearray())

    @rule(side=SIDES, data=st.data(), piece=st.binary(min_size=1, max_size=300), last=st.booleans())
    def write(self, side: bool, data: st.DataObject, piece: bytes, last: bool) -> None:
        end = self.ends[side]
        going = sorted(stream for stream, (writer, _) in end.writers.items() if not writer.ended)
        if not going:
            return
        stream = data.draw(st.sampled_from(going))
        writer, written = end.writers[stream]
        written += piece[: writer.write(piece)]
        if last:
            writer.close()
        end.core.broker.ready(stream)

    @rule(side=SIDES, data=st.data(), size=st.integers(1, 100))
    def read(self, side: bool, data: st.DataObject, size: int) -> None:
        end = self.ends[side]
        if end.readers:
            self._read(side, data.draw(st.sampled_from(sorted(end.readers))), size)

    # what must be so

    @invariant()
    def nobody_failed(self) -> None:
        for end in self.ends.values():
            assert end.core.link in {Link.CONNECTING, Link.OPEN}

    def teardown(self) -> None:
        """Let everything arrive: every call that waits is answered, every stream is whole."""
        for _ in range(10_000):
            moved = False
            for side, end in self.ends.items():
                self.send(side, 10_000)
                moved = moved or bool(end.wire)
                self.arrive(side, 10_000)
                for stream in end.readers:
                    moved = self._read(side, stream, 1000) or moved
            if not moved:
                break
        assert self.open
        for side, end in self.ends.items():
            other = self.ends[not side]
            assert end.pushed == []
            assert set(end.asked) == set(other.to_answer), "what waits is what was not answered"
            for stream, (_, got) in end.readers.items():
                writer, written = other.writers[stream]
                assert got == written
                assert (stream in end.ended) == writer.ended
                assert not writer.ended or writer.done
            going = sum(not writer.ended for writer, _ in end.writers.values())
            going += len(end.readers) - len(end.ended)
            assert len(end.core.broker) == going

    def _read(self, side: bool, stream: int, size: int) -> bool:
        end = self.ends[side]
        reader, got = end.readers[stream]
        item = reader.read(size)
        end.core.broker.ready(stream)
        if isinstance(item, Chunk):
            assert item.offset == len(got)
            got += item.data
        elif isinstance(item, End):
            assert item.offset == len(got) and stream not in end.ended
            end.ended.add(stream)
        return item is not None

    def _act(self, side: bool, events: list[Event]) -> None:
        end = self.ends[side]
        for event in events:
            if isinstance(event, Opened):
                self.opened += 1
            elif isinstance(event, RequestReceived):
                end.to_answer[event.number] = event.params
            elif isinstance(event, CallCancelled):
                end.to_answer.pop(event.number)
            elif isinstance(event, ResponseReceived):
                assert event.result == end.answers[event.number] == end.asked.pop(event.number)
            elif isinstance(event, ErrorReceived):
                self._check_error(end, event.number, event.error)
            elif isinstance(event, EventReceived):
                assert event.body == end.pushed.pop(0)
            else:
                assert isinstance(event, StreamReadable | StreamWritable), event

    def _check_error(self, end: Side, number: int, error: HoldfastError) -> None:
        assert isinstance(error, NotFound)
        assert error.name == end.answers[number] == str(end.asked.pop(number))


TestBackToBack = BackToBack.TestCase
TestBackToBack.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
