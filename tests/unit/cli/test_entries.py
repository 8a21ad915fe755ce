from __future__ import annotations

import io
import json

import pytest

from holdfast.channels.unpacking import Entry
from holdfast.cli import entries
from holdfast.cli.entries import EntryPrinter, about, entry_as_dict, lines_of
from holdfast.errors import MessageTooLarge
from holdfast.limits import LIMITS

PLAIN = Entry(3, "ann", 2, 0, 1.5, "data", b"hello")


class Slow(io.RawIOBase):
    """Gives one piece at a time, as a pipe does."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ((b"a\nb\n",), [[b"a", b"b"]]),
        ((b"a", b"b\nc", b"\n"), [[b"ab"], [b"c"]]),
        ((b"a\n\nb",), [[b"a", b""], [b"b"]]),
        ((), []),
    ],
)
def test_lines_come_as_soon_as_they_are_whole(pieces: tuple[bytes, ...], lines: list[list[bytes]]) -> None:
    assert list(lines_of(Slow(*pieces))) == lines  # type: ignore[arg-type]


def test_what_no_append_can_be_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "LIMITS", LIMITS._replace(append_bytes_max=10))
    left = Slow(b"a\n", b"b" * 6, b"b" * 5, b"b" * 5)
    found = lines_of(left)  # type: ignore[arg-type]
    assert next(found) == [b"a"]
    with pytest.raises(MessageTooLarge) as caught:
        next(found)
    assert (caught.value.name, caught.value.value, left.read1()) == ("append_bytes_max", 11, b"b" * 5)
    assert entries.read_whole(io.BytesIO(b"x" * 10)) == b"x" * 10
    with pytest.raises(MessageTooLarge):
        entries.read_whole(io.BytesIO(b"x" * 11))


def test_an_entry_as_json_leaves_out_what_is_empty() -> None:
    assert entry_as_dict(PLAIN) == {
        "index": 3,
        "sender": "ann",
        "sequence": 2,
        "timestamp": 1.5,
        "type": "data",
        "payload": "hello",
    }
    whole = PLAIN._replace(payload=b"\xff", late=True, control={"of": 1}, error="e", headers={"a": "b"}, in_reply_to=1)
    assert json.loads(json.dumps(entry_as_dict(whole)))["payload_base64"] == "/w=="


def test_a_row_is_one_line_and_harmless() -> None:
    assert about(PLAIN._replace(payload=b"a\nb\x1b[31m")) == "a\\nb\\x1b[31m"
    assert about(PLAIN._replace(payload=b"", error="broke", in_reply_to=4, late=True)) == "[broke reply_to=4 late]"
    assert about(PLAIN._replace(control={"of": 2})) == "hello  [of=2]"


@pytest.mark.parametrize(
    ("form", "printed"),
    [("text", "hello\nhello\n"), ("raw", "hellohello")],
)
def test_payloads_alone(form: str, printed: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    EntryPrinter(form).print([PLAIN, PLAIN])
    assert capfdbinary.readouterr().out.decode() == printed


def test_a_table_has_one_head(capsys: pytest.CaptureFixture[str]) -> None:
    printer = EntryPrinter("table")
    printer.print([PLAIN])
    printer.print([PLAIN])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["INDEX", "3", "3"]
