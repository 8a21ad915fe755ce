"""The protocol page says what the code does: its hex decodes, its tables and its diagram are the code's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import holdfast.rpc
from holdfast.errors import ProtocolError, VersionMismatch
from holdfast.limits import LIMITS
from holdfast.rpc.bodies import JsonCodec
from holdfast.rpc.frames import PREAMBLE, Frame, FrameReader, FrameType, decode_ack, decode_data, split_attached
from holdfast.rpc.handshake.job_link import JobLinkKeeper, JobLinkNode
from holdfast.rpc.states import ACCEPTED, State, diagram

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "protocol.md"
GOLDEN = Path(__file__).parent / "golden"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


REASON = r'"(preamble|frame-too-large|[a-z]+-(?:type|open|state|call|direction))"'
HEX_LINES = [line for block in blocks("hex") for line in block.splitlines()]


@pytest.mark.parametrize("line", HEX_LINES)
def test_every_line_of_hex_is_a_golden_frame(line: str) -> None:
    (frame,) = FrameReader(LIMITS.frame_bytes_max).frames(PREAMBLE + bytes.fromhex(line))
    _decode(frame)
    recorded = (GOLDEN / "session_1_0.txt").read_text()
    assert line in (GOLDEN / "frames.txt").read_text() or line.replace(" ", "") in recorded


def _decode(frame: Frame) -> None:
    if frame.type == FrameType.DATA:
        decode_data(frame)
    elif frame.type == FrameType.ACK:
        decode_ack(frame)
    elif frame.type != FrameType.PING:
        json, _ = split_attached(frame)
        assert f"`{bytes(json).decode()}`" in TEXT or frame.number == 3


def test_the_worked_example_is_whole() -> None:
    types = [FrameType(bytes.fromhex(line)[4]).name for line in HEX_LINES]
    example = ["REQUEST", "RESPONSE", "ACK", "DATA", "DATA", "ACK", "REQUEST"]
    assert " ".join(example) in " ".join(types)


def test_every_json_example_is_json() -> None:
    examples = blocks("json")
    assert len(examples) >= 5
    for example in examples:
        assert isinstance(JsonCodec().decode(example.encode()), dict)


def test_the_diagram_is_the_codes_table() -> None:
    assert [block.strip() for block in blocks("mermaid")] == [diagram()]


def test_every_frame_type_has_its_row() -> None:
    rows = re.findall(r"^\| (\d+) \| \[([A-Z]+)\]", TEXT, re.MULTILINE)
    assert rows == [(str(int(kind)), kind.name) for kind in FrameType]


def test_the_states_accept_what_the_page_says() -> None:
    for state in (State.GREETING, State.AUTHENTICATING):
        names = ", ".join(kind.name for kind in sorted(ACCEPTED[state]) if kind is not FrameType.GOODBYE)
        assert f"| {state.value} | {names}, GOODBYE | `not-open` |" in TEXT


def test_every_reason_is_explained() -> None:
    source = Path(inspect.getfile(holdfast.rpc)).parent
    used = set()
    for path in sorted(source.glob("*.py")):
        used |= set(re.findall(REASON, path.read_text()))
    used |= {ProtocolError().reason, VersionMismatch().reason}
    documented = set(re.findall(r"^\| `([a-z-]+)` \| \w", TEXT.split("## Errors")[1], re.MULTILINE))
    assert used == documented


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("frame_bytes_max", "1 MiB (`frame_bytes_max`)"),
        ("handshake_frame_bytes_max", "16 KiB (`handshake_frame_bytes_max`)"),
        ("handshake_s", "`handshake_s` (10 s)"),
        ("goodbye_s", "`goodbye_s` (2 s)"),
        ("request_bytes_max", "512 KiB (`request_bytes_max`)"),
        ("calls_in_flight_max", "1,024 calls open (`calls_in_flight_max`)"),
        ("control_queue_bytes_max", "(`control_queue_bytes_max`"),
        ("ping_interval_s", "5 s (`ping_interval_s`)"),
        ("stall_s", "15 s (`stall_s`)"),
        ("give_up_s", "(`give_up_s`)"),
        ("packet_bytes_max", "64 KiB (`packet_bytes_max`)"),
        ("send_buffer_bytes", "(`send_buffer_bytes`)"),
    ],
)
def test_limits_have_their_values(name: str, shown: str) -> None:
    assert " ".join(shown.split()) in " ".join(TEXT.split())
    value = getattr(LIMITS, name)
    number = re.search(r"([\d,]+) (MiB|KiB|s|calls)", shown)
    if number:
        scale = {"MiB": 1 << 20, "KiB": 1 << 10, "s": 1, "calls": 1}[number[2]]
        assert int(number[1].replace(",", "")) * scale == value


def test_the_proofs_are_the_ones_shown() -> None:
    secret = bytes(range(32))
    node = JobLinkNode("0123456789ab", secret, lambda size: b"\1" * size)
    keeper = JobLinkKeeper("0123456789ab", secret, lambda size: b"\2" * size)
    first = node.first()
    assert first is not None
    second = keeper.receive(first)
    assert second is not None
    third = node.receive(second)
    assert third is not None
    assert f"`{second['proof']}`" in TEXT and f"`{third['proof']}`" in TEXT
