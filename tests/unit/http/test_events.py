"""Server-Sent Events, read back as a browser would."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from holdfast.durable.model import Page
from holdfast.http.events import HEARTBEAT, EventWriter, control_event, data_event, split_text
from holdfast.http.offsets import offset_of, position_of


def parse(stream: bytes) -> list[tuple[str, str]]:
    """The events of a stream, by the rules browsers follow."""
    events, kind, lines = [], "", list[str]()
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    for line in text.split("\n"):
        if not line:
            if lines:
                events.append((kind, "\n".join(lines)))
            kind, lines = "", []
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                lines.append(value)
    return events


def controls(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(data) for kind, data in parse(stream) if kind == "control"]


def pages(data: bytes, cuts: list[int], *, closed: bool = False) -> list[Page]:
    """``data`` in pages that end at ``cuts``."""
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    starts = [0, *ends[:-1]]
    return [Page([data[a:b]], a, b, len(data), closed) for a, b in zip(starts, ends, strict=True)]


@given(st.text())
def test_no_text_can_end_an_event_or_begin_another(text: str) -> None:
    text = text or "x"
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert parse(data_event(text) + control_event(3, "7", caught_up=True, finished=False))[0] == ("data", expected)


@given(st.text(min_size=1), st.lists(st.integers(0, 80), max_size=8))
def test_text_cut_anywhere_arrives_whole_and_can_be_resumed_after_every_event(text: str, cuts: list[int]) -> None:
    text = text.replace("\r", "")
    data = text.encode()
    writer, got = EventWriter("text/plain"), ""
    for page in pages(data, cuts):
        events = parse(writer.write(page, "1"))
        assert [kind for kind, _ in events] in (["control"], ["data", "control"])
        got += "".join(part for kind, part in events if kind == "data")
        position = position_of(json.loads(events[-1][1])["streamNextOffset"])
        assert got.encode() == data[:position]
    assert got == text


@given(st.binary(min_size=1, max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_bytes_arrive_exactly_each_event_decodable_alone(data: bytes, cuts: list[int]) -> None:
    writer, got = EventWriter("application/octet-stream"), b""
    for page in pages(data, cuts):
        for kind, part in parse(writer.write(page, "1")):
            got += base64.b64decode(part, validate=True) if kind == "data" else b""
    assert got == data


@given(st.lists(st.dictionaries(st.text(), st.text(), max_size=3), min_size=1, max_size=5))
def test_messages_arrive_as_one_array_an_event(messages: list[dict[str, str]]) -> None:
    chunks = [json.dumps(message, indent=1).encode() for message in messages]
    writer = EventWriter("application/json; charset=utf-8")
    events = parse(writer.write(Page(chunks, 0, len(chunks), 9, closed=False), "1"))
    assert json.loads(events[0][1]) == messages
    assert json.loads(events[1][1]) == {"streamNextOffset": offset_of(len(chunks)), "streamCursor": "1"}


def test_the_end_of_text_gives_what_was_held_back() -> None:
    writer = EventWriter("text/plain")
    first = writer.write(Page([b"a\xe2\x82"], 0, 3, 3, closed=False), "1")
    assert parse(first)[0] == ("data", "a") and controls(first)[0]["streamNextOffset"] == offset_of(1)
    last = writer.write(Page([], 3, 3, 3, closed=True), "1")
    assert parse(last)[0] == ("data", "\ufffd")
    assert controls(last) == [{"streamNextOffset": offset_of(3), "upToDate": True, "streamClosed": True}]


def test_a_control_event_says_how_things_stand() -> None:
    assert controls(control_event(1, "5", caught_up=False, finished=False)) == [
        {"streamNextOffset": offset_of(1), "streamCursor": "5"}
    ]
    assert controls(control_event(1, "5", caught_up=True, finished=False))[0]["upToDate"] is True
    assert "streamCursor" not in controls(control_event(1, "5", caught_up=True, finished=True))[0]


def test_a_heartbeat_is_no_event() -> None:
    assert parse(HEARTBEAT) == []


@given(st.binary(max_size=8))
def test_splitting_loses_nothing_and_holds_less_than_a_character(data: bytes) -> None:
    whole, held = split_text(data)
    assert whole + held == data and len(held) <= 3


@given(st.text(min_size=1), st.integers(0, 100))
def test_what_is_not_held_is_whole(text: str, cut: int) -> None:
    split_text(text.encode()[: cut + 1])[0].decode()
