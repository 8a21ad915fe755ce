"""Where a client's token comes from, and what it never does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast.client.credentials import Credentials, read_token_file, target
from holdfast.client.jobs.spec import make_spec
from holdfast.errors import UsageError
from holdfast.rpc.handshake.greeting import Authenticator

Run = Callable[[Coroutine[Any, Any, Any]], Any]

TCP = {"HOLDFAST_URL": "tcp://127.0.0.1:1", "HOME": "/h"}


def shown(authenticator: Authenticator) -> str | None:
    """The token, if one is shown."""
    body = authenticator.first()
    assert body is not None
    return body.get("token")


def counting() -> Callable[[], str]:
    tokens = iter(("one", "two", "three"))
    return lambda: next(tokens)


def given(env: dict[str, str], **arguments: Any) -> str | None:
    wanted = {"token": None, "token_callback": None, "ca_file": None, **arguments}
    return shown(target(None, env=env, **wanted).credentials.authenticator_now())


def test_what_is_given_goes_first_then_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    file.chmod(0o600)
    both = {**TCP, "HOLDFAST_TOKEN": "from-env", "HOLDFAST_TOKEN_FILE": str(file)}
    assert given(both, token="given") == "given"
    assert given(both, token_callback=lambda: "called") == "called"
    assert given(both) == "from-env"
    assert given({**TCP, "HOLDFAST_TOKEN_FILE": str(file)}) == "from-file"
    assert given(TCP) is None


def test_the_owner_shows_a_token_only_if_told_to() -> None:
    unix = {"HOME": "/h", "HOLDFAST_TOKEN": "a-jobs", "HOLDFAST_TOKEN_FILE": "/nowhere"}
    assert given(unix) is None
    assert given(unix, token="a-jobs") == "a-jobs"


def test_a_refused_token_is_replaced_once_each_time(run: Run) -> None:
    credentials = Credentials("first", counting())
    assert shown(credentials.authenticator_now()) == "first"
    assert shown(credentials.authenticator_now(refused=True)) == "one"
    assert shown(credentials.authenticator_now()) == "one"
    assert shown(run(credentials.authenticator(refused=True))) == "two"
    assert shown(run(Credentials("", counting()).authenticator())) == "one"


def test_without_a_callback_it_is_what_it_was() -> None:
    credentials = Credentials("first")
    assert not credentials.renewable
    assert shown(credentials.authenticator_now(refused=True)) == "first"


def test_an_async_callback(run: Run) -> None:
    async def fresh() -> str:
        return "awaited"

    assert shown(run(Credentials("", fresh).authenticator())) == "awaited"


def test_a_callback_that_gives_nothing_is_said() -> None:
    with pytest.raises(UsageError, match="gave no token"):
        Credentials("", lambda: "").authenticator_now()


def test_an_async_callback_of_a_blocking_client_is_said() -> None:
    class Soon:
        def __await__(self) -> Any:
            yield

    with pytest.raises(UsageError, match="not async"):
        Credentials("", Soon).authenticator_now()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    file.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        read_token_file(str(file))


def test_a_file_that_holds_no_token_or_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    with pytest.raises(UsageError, match="does not hold a token"):
        read_token_file(str(file))
    with pytest.raises(UsageError, match="cannot read"):
        read_token_file(str(tmp_path / "none"))
    file.write_bytes(b"\n")
    with pytest.raises(UsageError, match="is empty"):
        read_token_file(str(file))


def test_whom_to_trust() -> None:
    env = {**TCP, "HOLDFAST_CA_FILE": "/env.pem"}
    none: dict[str, Any] = {"token": None, "token_callback": None}
    assert target(None, env=env, ca_file=None, **none).ca_file == "/env.pem"
    assert target(None, env=env, ca_file="/given.pem", **none).ca_file == "/given.pem"
    assert target("tls://h:1", env=env, ca_file="", **none).ca_file == ""


def test_our_credentials_do_not_travel_with_a_job() -> None:
    env = {"A": "1", "HOLDFAST_TOKEN": "secret", "HOLDFAST_TOKEN_FILE": "/f", "HOLDFAST_CA_FILE": "/c"}
    assert make_spec(["true"], env=env).env == {"A": "1", "HOLDFAST_CA_FILE": "/c"}
