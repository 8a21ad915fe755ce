"""What is shown of a provider's options."""

from __future__ import annotations

import pytest

from holdfast.sessions.showing import shown_options, shown_url


@pytest.mark.parametrize("name", ["header", "api_key", "Authorization", "password", "access_token"])
def test_secrets_are_not_shown(name: str) -> None:
    assert shown_options({name: "hush", "path": "/var/log/x"}) == {name: "***", "path": "/var/log/x"}
    assert shown_options({name: ""}) == {name: ""}, "that there is none is no secret"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wss://ann:pass@feed.example:1/a@b", "wss://***@feed.example:1/a@b"),
        ("ws://token@feed", "ws://***@feed"),
        ("ws://feed.example/a@b", "ws://feed.example/a@b"),
        ("ann@example.org", "ann@example.org"),
        ("/a/file", "/a/file"),
    ],
)
def test_addresses_are_shown_without_who_asks(text: str, shown: str) -> None:
    assert shown_url(text) == shown
    assert shown_options({"url": text}) == {"url": shown}
