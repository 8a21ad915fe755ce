"""Hosts and origins, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.http.guard import Authority, Guard, is_local, is_own_page, parse_authority, same_origin


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LOCALHOST:80", "localhost", 80),
        ("127.0.0.1:4437", "127.0.0.1", 4437),
        ("[::1]", "::1", None),
        ("[::1]:4437", "::1", 4437),
        ("node.example:65535", "node.example", 65535),
    ],
)
def test_an_authority_is_taken_apart(text: str, host: str, port: int | None) -> None:
    assert parse_authority(text) == Authority(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", ":80", "::1", "[::1", "[::1]x", "[nonsense]:1", "a b", "user@localhost", "localhost:", "localhost:x",
        "localhost:65536", "localhost:80:80", "localhost/", "localhost,evil", "\u0660.example", "localhost:\u0661",
    ],
)  # fmt: skip
def test_what_is_no_authority_is_none(text: str) -> None:
    assert parse_authority(text) is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "0:0:0:0:0:0:0:1"])
def test_this_machine_is_local(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.evil.example", "localhost.evil.example", "evil-localhost", "127.0.0.1.evil.example", "127.1", "127.0.0.1.",
        "0x7f.0.0.1", "2130706433", "0.0.0.0", "10.0.0.1", "::", "localhost.",
    ],
)  # fmt: skip
def test_what_only_looks_local_is_not(host: str) -> None:
    assert not is_local(host)
    assert not Guard().allows_host(host)


def test_hosts_are_this_machine_and_what_is_configured() -> None:
    guard = Guard(hosts=["Node.Example"])
    assert guard.allows_host("node.example:4437")
    assert guard.allows_host("127.0.0.1:4437")
    assert not guard.allows_host("other.example")
    assert not guard.allows_host("x.node.example")
    assert not guard.allows_host(None)


def test_a_page_of_our_own_may_use_us() -> None:
    guard = Guard()
    assert guard.allows_origin(None, "http", "localhost:4437")
    assert guard.allows_origin("http://localhost:4437", "http", "localhost:4437")
    assert guard.allows_origin("http://localhost", "http", "localhost:80")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://localhost:4438",
        "https://localhost:4437",
        "http://127.evil.example:4437",
        "file://",
        "http://",
    ],
)
def test_other_pages_may_not(origin: str) -> None:
    guard = Guard(origins=["https://app.example"])
    assert not guard.allows_origin(origin, "http", "localhost:4437")
    assert not guard.shares_with(origin)


def test_configured_pages_may_and_are_told_so() -> None:
    guard = Guard(origins=["https://App.example/"])
    assert guard.allows_origin("https://app.example", "http", "localhost")
    assert guard.shares_with("https://app.example")
    assert not guard.allows_origin("https://app.example.evil.example", "http", "localhost")
    assert not guard.shares_with(None)
    assert Guard(origins=["*"]).shares_with("https://any.example")


@given(st.text(max_size=40))
def test_no_text_is_local_unless_it_is_a_loopback_address_or_localhost(text: str) -> None:
    if Guard().allows_host(text):
        host = text.rpartition(":")[0] or text
        assert host.lower().startswith(("localhost", "127.", "[")) or text.lower() == "localhost"


def test_behind_a_proxy_that_takes_tls_off_our_own_pages_are_https() -> None:
    assert same_origin("https://node.example", "http", "node.example")
    assert same_origin("https://node.example:8443", "http", "node.example:8443")
    assert not same_origin("https://node.example:8443", "http", "node.example")
    assert not same_origin("http://node.example", "https", "node.example")
    assert not same_origin("https://localhost", "http", "localhost")


OURS = "http://localhost:4437"


@pytest.mark.parametrize(
    ("method", "origin", "site", "own"),
    [
        ("GET", None, None, True),
        ("GET", None, "same-origin", True),
        ("GET", None, "none", True),
        ("HEAD", None, None, True),
        ("POST", OURS, "same-origin", True),
        ("POST", OURS, None, True),
        ("POST", None, None, False),
        ("DELETE", None, "same-origin", False),
        ("GET", None, "same-site", False),
        ("GET", None, "cross-site", False),
        ("POST", OURS, "cross-site", False),
        ("POST", "http://localhost:4438", None, False),
        ("GET", "http://localhost:4438", None, False),
        ("POST", "null", "same-origin", False),
        ("POST", "https://localhost:4437", None, False),
    ],
)
def test_a_cookie_speaks_for_our_own_pages(method: str, origin: str | None, site: str | None, own: bool) -> None:
    assert is_own_page(method, origin, site, "http", "localhost:4437") is own
