"""A job's description from what a caller gave."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from holdfast.client.jobs.spec import make_spec, signal_text
from holdfast.errors import UsageError
from holdfast.procinfo import own_soft_limits

NOT_UTF8 = os.fsdecode(b"\xff")


def test_a_string_is_no_command() -> None:
    with pytest.raises(UsageError, match="list of arguments"):
        make_spec("ls -l")


def test_what_is_not_utf8_is_named() -> None:
    with pytest.raises(UsageError, match=r"command\[1\]"):
        make_spec(["echo", NOT_UTF8])
    with pytest.raises(UsageError, match="variable 'ODD'"):
        make_spec(["true"], env={"ODD": NOT_UTF8})
    with pytest.raises(UsageError, match="variable 'N' is not text"):
        make_spec(["true"], env={"N": 1})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="cwd"):
        make_spec(["true"], cwd=f"/{NOT_UTF8}")


def test_a_directory_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="cwd: the current directory is gone"):
        make_spec(["true"])
    assert make_spec(["true"], cwd="/").cwd == "/"


def test_a_job_does_not_get_the_callers_token() -> None:
    assert make_spec(["true"], env={"HOLDFAST_TOKEN": "x", "A": "b"}).env == {"A": "b"}


def test_an_unknown_option_is_named_as_python_does() -> None:
    with pytest.raises(TypeError, match=r"start\(\) got an unexpected keyword argument 'nmae'; it takes name, cwd"):
        make_spec(["true"], nmae="x")  # type: ignore[call-arg]


def test_umask_and_limits_are_the_callers_unless_told() -> None:
    mask = os.umask(0o137)
    try:
        assert make_spec(["true"]).umask == 0o137
    finally:
        os.umask(mask)
    assert make_spec(["true"]).ulimits == own_soft_limits()
    told = make_spec(["true"], umask=0o77, ulimits={"nofile": 7})
    assert (told.umask, told.ulimits) == (0o77, {"nofile": 7})


def test_one_string_is_no_list_of_channels() -> None:
    with pytest.raises(UsageError, match="channels: must be a list"):
        make_spec(["true"], channels="steer")


@pytest.mark.parametrize(("given", "text"), [("HUP", "HUP"), (15, "15"), (signal.SIGTERM, "15")])
def test_a_signal_travels_as_text(given: str | int, text: str) -> None:
    assert signal_text(given) == text
