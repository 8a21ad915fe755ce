from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.engine.nats.options import NatsOptions, check_options, check_public, options_from, secret, shown, urls_of
from holdfast.errors import UsageError


def test_the_environment_and_what_is_given() -> None:
    env = {
        "HOLDFAST_NATS_URL": "nats://a:1, nats://b:2",
        "HOLDFAST_NATS_PREFIX": "crew",
        "HOLDFAST_NATS_REPLICAS": "3",
        "HOLDFAST_NATS_TOKEN": "t",
    }
    options = options_from({"prefix": "other", "creds": ""}, env)
    assert options == NatsOptions("nats://a:1, nats://b:2", "other", 3, token="t")
    assert urls_of(options) == ["nats://a:1", "nats://b:2"]
    assert options_from(env={}) == NatsOptions()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"url": "http://a"}, "not like nats://"),
        ({"url": "nats://"}, "not like nats://"),
        ({"url": ""}, "not like nats://"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": "a.b"}, "prefix"),
        ({"prefix": "x" * 33}, "prefix"),
        ({"replicas": 2}, "replicas"),
        ({"cert": "a"}, "cert and key"),
    ],
)
def test_what_cannot_be(changes: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check_options(NatsOptions()._replace(**changes))  # type: ignore[arg-type]


def test_a_number_is_one() -> None:
    with pytest.raises(UsageError, match="HOLDFAST_NATS_REPLICAS: 'many' is not a number"):
        options_from(env={"HOLDFAST_NATS_REPLICAS": "many"})


def test_secrets_are_not_shown_and_not_said_aloud(tmp_path: Path) -> None:
    assert shown("nats://user:pass@host:1") == "nats://host:1"
    assert check_public("nats://a:1,tls://b") == "nats://a:1,tls://b"
    with pytest.raises(UsageError) as caught:
        check_public("nats://a:1,nats://user:geheim@b:2")
    assert "geheim" not in str(caught.value) and "nats://b:2" in str(caught.value)
    path = tmp_path / "token"
    path.write_text("from a file\n")
    assert secret("", str(path)) == "from a file"
    assert secret("given", str(path)) == "given"
    assert secret("", "") is None
    with pytest.raises(UsageError, match="missing: cannot be read"):
        secret("", str(tmp_path / "missing"))
