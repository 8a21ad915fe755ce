"""Messages on their way to a client: each once, whatever breaks in between, and of the source that there is."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.client.sessions.inbox import Inbox, payload_of, specs_of
from holdfast.errors import UsageError
from holdfast.sessions.model import Message, PatternSpec
from holdfast.sessions.packing import pack
from holdfast.streams import Chunk

SUBJECT = "channels.p.c"


def entry(position: int, text: bytes = b"") -> Message:
    return Message(SUBJECT, text or b"entry %d" % position, position=position, next_position=position + 1)


def receive(inbox: Inbox, *messages: Message) -> None:
    inbox.receive(Chunk(0, b"".join(map(pack, messages)), 0))


def taken(inbox: Inbox) -> list[bytes]:
    found = []
    while (message := inbox.take()) is not None:
        found.append(message.payload if message.kind == "message" else message.kind.encode())
    return found


def test_what_comes_again_after_a_cut_is_left_out_and_what_was_not_taken_is_not() -> None:
    inbox = Inbox()
    receive(inbox, *map(entry, (1, 2, 3)))
    first = inbox.take()
    assert first is not None
    assert first.position == 1
    inbox.attached()
    receive(inbox, *map(entry, (1, 2, 3, 4)))
    assert taken(inbox) == [b"entry 2", b"entry 3", b"entry 4"]
    assert inbox.taken == 4


def test_a_part_that_was_taken_is_cut_off() -> None:
    inbox = Inbox()
    receive(inbox, Message("jobs.j.output", b"abc", position=0, next_position=3))
    assert taken(inbox) == [b"abc"]
    inbox.attached()
    receive(inbox, Message("jobs.j.output", b"abcdef", position=0, next_position=6))
    assert taken(inbox) == [b"def"]


def test_the_end_is_given_once() -> None:
    inbox = Inbox()
    end = Message(SUBJECT, position=1, next_position=1, kind="ended")
    receive(inbox, end)
    assert taken(inbox) == [b"ended"]
    inbox.attached()
    receive(inbox, end)
    assert taken(inbox) == []


def test_a_source_that_was_removed_and_made_anew_begins_anew() -> None:
    inbox = Inbox()
    receive(inbox, *map(entry, (1, 2, 3)))
    assert len(taken(inbox)) == 3
    gone = Message(SUBJECT, kind="gone", detail={"reason": "it was removed"})
    receive(inbox, gone, entry(1, b"new 1"), entry(2, b"new 2"))
    assert taken(inbox) == [b"gone", b"new 1", b"new 2"]


def test_a_new_source_that_comes_before_the_last_of_the_old_one_was_taken_loses_nothing() -> None:
    inbox = Inbox()
    receive(inbox, *map(entry, (1, 2, 3)))
    receive(inbox, Message(SUBJECT, kind="gone"))
    assert inbox.take() is not None
    receive(inbox, entry(1, b"new 1"))
    assert taken(inbox) == [b"entry 2", b"entry 3", b"gone", b"new 1"]
    inbox.attached()
    receive(inbox, entry(1, b"new 1"), entry(2, b"new 2"))
    assert taken(inbox) == [b"new 2"]


def test_a_source_that_lost_its_end_is_given_from_its_beginning() -> None:
    inbox = Inbox()
    receive(inbox, *map(entry, (1, 2, 3)))
    assert len(taken(inbox)) == 3
    inbox.attached()
    receive(inbox, Message(SUBJECT, kind="gap", detail={"reason": "it was made anew"}), entry(1, b"new 1"))
    assert taken(inbox) == [b"gap", b"new 1"]


def test_sources_of_a_provider_that_was_removed_are_forgotten() -> None:
    inbox = Inbox()
    receive(inbox, *map(entry, (1, 2)))
    unbound = Message("channels.>", kind="unbound", detail={"subjects": [SUBJECT], "count": 1})
    receive(inbox, unbound, entry(1, b"new 1"))
    assert taken(inbox) == [b"entry 1", b"entry 2", b"unbound", b"new 1"]


def test_one_pattern_is_not_taken_for_a_list_of_letters() -> None:
    alone: Any
    for alone in ("bus.>", PatternSpec(pattern="bus.>")):
        with pytest.raises(UsageError, match="patterns"):
            specs_of(alone)


@pytest.mark.parametrize("payload", [5, None, {"a": 1}])
def test_what_is_no_payload_is_refused(payload: Any) -> None:
    with pytest.raises(UsageError, match="payload"):
        payload_of(payload)
