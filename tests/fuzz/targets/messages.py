"""What reads messages: packed, as a session's client gets them, and as JSON in the body of a request."""

from __future__ import annotations

from holdfast.channels.packing import check_batch
from holdfast.durable.messages import join_messages, split_messages
from holdfast.errors import ProtocolError, UsageError
from holdfast.node.streams.messages import draft_of
from holdfast.sessions.packing import Unpacker, pack, unpack


def check_messages(data: bytes) -> None:
    """In pieces they are the same messages as at once, and packed again they say the same; or they are refused."""
    step, unpacker = (data[0] + 1 if data else 1), Unpacker()
    messages = []
    try:
        for start in range(1, len(data), step):
            messages += unpacker.take(data[start : start + step])
            assert unpacker.pending_bytes < len(data)
        again = b"".join(map(pack, messages))
    except ProtocolError:
        return
    assert repr(list(unpack(again))) == repr(messages)
    if not unpacker.pending_bytes:
        assert repr(list(unpack(data[1:]))) == repr(messages)


def check_bodies(data: bytes) -> None:
    """A body is refused by its place, or is messages that make the same body, each refused by its place, or a draft."""
    try:
        messages = split_messages(data)
        assert split_messages(join_messages(messages)) == messages
        drafts = [draft_of(message, place) for place, message in enumerate(messages)]
    except UsageError as error:
        assert error.field.startswith("body")
        return
    if drafts:
        batch = check_batch(b"".join(drafts))
        assert batch.entries == len(messages)
