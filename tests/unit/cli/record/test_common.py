from __future__ import annotations

import pytest

from holdfast.cli.record.common import _LOWEST, exit_code, is_cid, split_tag
from holdfast.cli.record.run import Outcome
from holdfast.errors import DisconnectedError, PermissionDenied, RecordStreamError, UsageError
from holdfast.records.cid import cid_of_digest

ONE_LEFT = "holdfast: 3 stored, 1 not answered\n"


def test_the_lowest_cid_is_where_completion_begins() -> None:
    assert cid_of_digest(bytes(32)) == _LOWEST
    assert all(cid_of_digest(bytes([number]) * 32).startswith(_LOWEST[:7]) for number in range(256))


@pytest.mark.parametrize(("text", "parts"), [("a", ("a", "latest")), ("a:1", ("a", "1")), ("a:1:2", ("a:1", "2"))])
def test_tags_have_a_name_and_perhaps_a_version(text: str, parts: tuple[str, str]) -> None:
    assert split_tag(text, "latest") == parts
    assert not is_cid(text)
    assert is_cid(_LOWEST)


@pytest.mark.parametrize("text", ["", ":1", "a:"])
def test_what_is_no_tag_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="tag"):
        split_tag(text)


def stream_error(cause: Exception) -> RecordStreamError:
    error = RecordStreamError("over", 1, 2)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (Outcome(5, 0, 0, None, 0), 0, ""),
        (Outcome(5, 2, 0, None, 0), 1, "holdfast: 3 stored, 2 failed\n"),
        (Outcome(5, 0, 2, None, 0), 130, "holdfast: interrupted: 3 stored, all that was read is answered\n"),
        (Outcome(5, 0, 2, None, 4), 130, "holdfast: interrupted: 3 stored, 4 not answered\n"),
        (Outcome(1, 0, 0, stream_error(DisconnectedError("cut")), 1), 75, f"holdfast: cut\n{ONE_LEFT}"),
        (Outcome(1, 0, 0, stream_error(PermissionDenied("no")), 1), 5, f"holdfast: no\n{ONE_LEFT}"),
    ],
)  # fmt: skip
def test_a_run_ends_with_a_code_and_a_count(
    capsys: pytest.CaptureFixture[str], outcome: Outcome, code: int, said: str
) -> None:
    assert exit_code(outcome, "3 stored") == code
    assert capsys.readouterr().err == said


def test_people_get_the_count_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(Outcome(5, 0, 0, None, 0), "5 stored", always=True) == 0
    assert capsys.readouterr().err == "holdfast: 5 stored\n"
