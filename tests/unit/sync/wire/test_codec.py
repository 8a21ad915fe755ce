"""Both dialects, field by field and byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import LimitExceeded, ProtocolError
from holdfast.limits import LIMITS
from holdfast.sync.model import Dialect, HistoryEntry, Message
from holdfast.sync.wire import Wire, codec
from holdfast.sync.wire.protobuf import bytes_field, fields, number_field, text_field

FULL = Message(
    "id-1",
    "channel",
    1_700_000_000_000,
    b"content",
    "alice",
    (HistoryEntry("h1", b"hint", "bob"), HistoryEntry("h2")),
    b"bloom",
    (HistoryEntry("r1", b"", "carol"),),
)
DIALECTS: tuple[Dialect, ...] = ("spec", "nim")


def walk(data: bytes) -> list[tuple[int, int | bytes]]:
    return [(field, value) for field, value, _, _ in fields(data)]


H1, H2, R1 = b"\x0a\x02h1\x12\x04hint\x1a\x03bob", b"\x0a\x02h2", b"\x0a\x02r1\x1a\x05carol"


def test_the_fields_of_dialect_spec() -> None:
    assert walk(Wire("spec").encode(FULL)) == [
        (1, b"alice"),
        (2, b"id-1"),
        (3, b"channel"),
        (10, 1_700_000_000_000),
        (11, H1),
        (11, H2),
        (12, b"bloom"),
        (13, R1),
        (20, b"content"),
    ]


def test_the_fields_of_dialect_nim() -> None:
    assert walk(Wire("nim").encode(FULL)) == [
        (1, b"id-1"),
        (2, 1_700_000_000_000),
        (3, H1),
        (3, H2),
        (4, b"channel"),
        (5, b"content"),
        (6, b"bloom"),
        (7, b"alice"),
        (13, R1),
    ]


def test_golden_bytes() -> None:
    small = Message("m", "c", 300, b"x", "a")
    assert Wire("spec").encode(small).hex() == "0a01611201" + "6d1a016350ac02a2010178"
    assert Wire("nim").encode(small).hex() == "0a016d10ac02220163" + "2a01783a0161"


ids = st.text(min_size=1, max_size=30)
entries = st.builds(HistoryEntry, ids, st.binary(max_size=20), st.text(max_size=10))


@st.composite
def messages(draw: st.DrawFn, dialect: Dialect) -> Message:
    content = draw(st.binary(max_size=50))
    lamport = draw(st.integers(0, 2**64 - 1))
    ephemeral = dialect == "spec" and content and draw(st.booleans())
    return Message(
        draw(ids),
        draw(ids),
        None if ephemeral else lamport,
        content,
        draw(st.text(max_size=10)),
        tuple(draw(st.lists(entries, max_size=5))),
        draw(st.binary(max_size=30)),
        tuple(draw(st.lists(entries, max_size=3))),
        draw(st.sampled_from([b"", bytes_field(99, b"later"), number_field(31, 7) + bytes_field(30, b"")])),
    )


@given(st.data())
@pytest.mark.parametrize("dialect", DIALECTS)
def test_messages_come_back_as_they_were(dialect: Dialect, data: st.DataObject) -> None:
    message = data.draw(messages(dialect))
    wire = Wire(dialect)
    decoded = wire.decode(wire.encode(message))
    assert decoded.message == message
    again = wire.decode(decoded.kept).message
    message.bloom, message.repairs = b"", ()
    assert again == message


@pytest.mark.parametrize("dialect", DIALECTS)
def test_unknown_fields_are_kept_where_they_stand(dialect: Dialect) -> None:
    wire = Wire(dialect)
    parts = wire.encode(FULL)
    first, last = bytes_field(15, b"first"), number_field(40, 5)
    decoded = wire.decode(first + parts + last)
    assert decoded.message.unknown == first + last
    assert decoded.kept.startswith(first) and decoded.kept.endswith(last)
    assert len(decoded.kept) == len(first + parts + last) - len(bytes_field(6, b"bloom") + bytes_field(13, R1))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_unknown_fields_of_a_history_entry_are_kept_too(dialect: Dialect) -> None:
    wire = Wire(dialect)
    entry = H2 + bytes_field(9, b"new")
    data = wire.encode(Message("m", "c", 1, b"x")) + bytes_field(wire.layout.numbers[4], entry)
    decoded = wire.decode(data)
    assert decoded.message.causal == (HistoryEntry("h2"),)
    assert decoded.kept == data


def test_the_kinds_of_messages() -> None:
    assert Message("m", "c", 1, b"x").kind == "content"
    assert Message("m", "c", 0).kind == "sync"
    assert Message("m", "c", None, b"x").kind == "ephemeral"


def test_nim_requires_clock_and_content() -> None:
    base = text_field(1, "m") + text_field(4, "c")
    for part, missing in ((number_field(2, 1), "content"), (bytes_field(5, b"x"), "lamport_timestamp")):
        with pytest.raises(ProtocolError, match=missing):
            Wire("nim").decode(base + part)
    assert Wire("nim").decode(base + number_field(2, 1) + bytes_field(5, b"")).message.kind == "sync"


@pytest.mark.parametrize(("ours", "theirs"), [("spec", "nim"), ("nim", "spec")])
def test_the_other_dialect_is_named(ours: Dialect, theirs: Dialect) -> None:
    with pytest.raises(ProtocolError, match=f"than in dialect {ours}") as caught:
        Wire(ours).decode(Wire(theirs).encode(FULL))
    assert caught.value.reason == "dialect"


@pytest.mark.parametrize(
    ("field", "limit"),
    [
        ("message_id", "group_id_bytes_max"),
        ("channel", "group_id_bytes_max"),
        ("sender_id", "group_id_bytes_max"),
        ("content", "group_content_bytes_max"),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_too_large_names_its_limit(dialect: Dialect, field: str, limit: str) -> None:
    most = getattr(LIMITS, limit)
    for size, fits in ((most, True), (most + 1, False)):
        message = Message("m", "c", 1, b"x", "s")
        setattr(message, field, b"x" * size if field == "content" else "x" * size)
        data = Wire(dialect).encode(message)
        if fits:
            assert Wire(dialect).decode(data).message == message
        else:
            with pytest.raises(LimitExceeded) as caught:
                Wire(dialect).decode(data)
            assert (caught.value.name, caught.value.limit, caught.value.value) == (limit, most, size)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_huge_parts_are_refused(dialect: Dialect) -> None:
    wire = Wire(dialect)
    base = Message("m", "c", 1, b"x")
    many = tuple([HistoryEntry(f"m{number}") for number in range(LIMITS.group_entries_max + 1)])
    for huge, limit in (
        (Message("m", "c", 1, b"x", causal=many), "group_entries_max"),
        (Message("m", "c", 1, b"x", repairs=many), "group_entries_max"),
        (Message("m", "c", 1, b"x", causal=(HistoryEntry("x" * 10_240),)), "group_id_bytes_max"),
        (Message("m", "c", 1, b"x", causal=(HistoryEntry("m", b"x" * 5_000),)), "group_hint_bytes_max"),
        (Message("m", "c", 1, b"x", causal=(HistoryEntry("m", b"", "x" * 10_240),)), "group_id_bytes_max"),
    ):
        with pytest.raises(LimitExceeded) as caught:
            wire.decode(wire.encode(huge))
        assert caught.value.name == limit
    with pytest.raises(LimitExceeded) as caught:
        wire.decode(wire.encode(base) + bytes_field(99, bytes(LIMITS.group_wire_bytes_max)))
    assert caught.value.name == "group_wire_bytes_max"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_message_cut_anywhere_is_an_error_or_another_message(dialect: Dialect) -> None:
    wire = Wire(dialect)
    data = wire.encode(FULL)
    for size in range(len(data)):
        try:
            assert wire.decode(data[:size]).message != FULL
        except ProtocolError as error:
            assert error.reason in {"truncated", "malformed"}


@given(st.binary(max_size=200))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_any_bytes_are_a_message_or_an_error(dialect: Dialect, data: bytes) -> None:
    try:
        decoded = Wire(dialect).decode(data)
    except (ProtocolError, LimitExceeded):
        return
    assert decoded.message.message_id and decoded.message.channel


def test_a_packet_that_comes_again_is_not_read_again_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire("spec")
    data = wire.encode(FULL)
    assert wire.decode(bytes(bytearray(data))) is wire.decode(data)
    large = wire.encode(Message("m", "c", 1, bytes(10_000)))
    assert wire.decode(large) is not wire.decode(large)
    monkeypatch.setattr(codec, "_CACHED_PACKETS_BYTES_MAX", 20_000)
    for number in range(100):
        wire.decode(wire.encode(Message(f"m{number}", "c", 1, bytes(900))))
        assert sum(len(packet) for packet in wire._packets) <= 20_000
    with pytest.raises(ProtocolError):
        wire.decode(data[:-1])
    with pytest.raises(ProtocolError):
        wire.decode(data[:-1])
