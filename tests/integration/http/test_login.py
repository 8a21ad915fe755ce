"""A browser's way in, as its requests: links, codes, cookies, and what none of them can be used for."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from holdfast.testing import NodeBox
from tests.integration.http.conftest import Got, Web, audited, code

STREAM = "/v1/stream/s"


@pytest.fixture
def web(make_web: Callable[..., Web]) -> Web:
    made = make_web()
    token = made.mint("streams:write")
    made.ask("PUT", STREAM, token, b"secret", Content_Type="text/plain")
    return made


class Link(NamedTuple):
    url: str
    token_id: str

    @property
    def path(self) -> str:
        return "/v1/" + self.url.partition("/v1/")[2]

    @property
    def code(self) -> str:
        return self.url.partition("code=")[2]


def link(box: NodeBox, *options: str, scope: str = "streams:read streams:write") -> Link:
    made = json.loads(box.run("token", "link", "--sub", "ann", "--scope", scope, "-o", "json", *options).stdout)
    return Link(made["url"], made["token_id"])


def enter(web: Web, code: str, origin: str | None = None, **headers: str) -> Got:
    form = urlencode({"code": code}).encode()
    own = {"Origin": web.url if origin is None else origin}
    return web.ask("POST", "/v1/enter", "", form, Content_Type="application/x-www-form-urlencoded", **own, **headers)


def cookie_of(got: Got) -> str:
    return got.headers["set-cookie"].partition(";")[0]


def test_a_link_becomes_a_cookie_once(web: Web) -> None:
    made = link(web.box, "--to", "/watch.html?x=1")
    assert made.url.startswith(web.url + "/v1/enter?code=")
    for _ in range(2):  # whoever only looks uses nothing up
        shown = web.ask("GET", made.path)
        assert shown.status == 200 and b"Enter as ann" in shown.body and "set-cookie" not in shown.headers
        assert shown.headers["cache-control"] == "no-store" and shown.headers["referrer-policy"] == "strict-origin"
        assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
    got = enter(web, made.code)
    assert got.status == 303 and got.headers["location"] == "/watch.html?x=1"
    parts = {part.strip().lower() for part in got.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= parts and "secure" not in parts
    cookie = cookie_of(got)
    assert web.ask("GET", STREAM, Cookie=cookie).body == b"secret"
    assert web.ask("GET", made.path).status == 403
    replayed = enter(web, made.code)
    assert replayed.status == 403 and "set-cookie" not in replayed.headers
    assert enter(web, "nonsense").status == 403
    assert web.ask("GET", STREAM, Cookie=cookie + "x").status == 401
    assert [event["action"] for event in audited(web.box)] == ["login", "login", "authenticate"]
    text = (web.box.state_dir / "audit.log").read_text() + (web.box.directory / "node.err").read_text()
    assert made.code not in text and cookie.partition("=")[2] not in text


def test_a_login_has_the_rights_of_its_token_and_no_more(web: Web) -> None:
    cookie = cookie_of(enter(web, link(web.box, scope="streams:read").code))
    own = {"Cookie": cookie, "Origin": web.url}
    assert web.ask("GET", STREAM, "", None, **own).body == b"secret"
    assert web.ask("POST", STREAM, "", b"x", Content_Type="text/plain", **own).status == 403
    assert web.ask("GET", "/metrics", "", None, **own).status == 403
    assert web.ask("POST", "/v1/login", "", b"", **own).status == 403  # or it would never end
    bound = cookie_of(enter(web, link(web.box, "--channel", "p/c", scope="streams:read").code))
    assert web.ask("GET", STREAM, Cookie=bound).status == 404


def test_what_changes_something_must_come_from_a_page_of_this_node(web: Web) -> None:
    cookie = cookie_of(enter(web, link(web.box).code))
    other_port = web.url.rpartition(":")[0] + ":1"
    text = {"Content_Type": "text/plain", "Cookie": cookie}
    assert web.ask("POST", STREAM, "", b"!", Origin=web.url, **text).status == 204
    assert web.ask("POST", STREAM, "", b"!", **text).status == 403
    assert web.ask("POST", STREAM, "", b"!", Origin=other_port, **text).status == 403
    assert web.ask("POST", STREAM, "", b"!", Origin="null", **text).status == 403
    for site in ("same-site", "cross-site"):
        assert web.ask("GET", STREAM, Cookie=cookie, Sec_Fetch_Site=site).status == 403
        assert web.ask("POST", STREAM, "", b"!", Origin=web.url, Sec_Fetch_Site=site, **text).status == 403
    assert web.ask("DELETE", STREAM, Cookie=cookie).status == 403
    assert web.ask("POST", "/v1/leave", "", b"", Cookie=cookie).status == 403
    assert web.ask("GET", STREAM, Cookie=cookie, Host="127.evil.example").status == 403
    assert web.ask("GET", STREAM, Cookie=cookie, Sec_Fetch_Site="same-origin").body == b"secret!"
    assert {"http", "http.login"} == {event["action"] for event in audited(web.box)}


def test_nobody_is_logged_in_by_a_page_of_somebody_else(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-origin", "http://localhost:5173")
    made = link(web.box)
    for origin in ("http://evil.example", "http://localhost:5173", "null"):
        got = enter(web, made.code, origin)
        assert got.status == 403 and code(got) == "HF-402" and "set-cookie" not in got.headers
    form = urlencode({"code": made.code}).encode()
    assert web.ask("POST", "/v1/enter", "", form).status == 403  # a browser says where it comes from
    assert enter(web, made.code, None, Sec_Fetch_Site="cross-site").status == 403
    cookie = cookie_of(enter(web, made.code))
    listed = web.ask("GET", STREAM, Cookie=cookie, Origin="http://localhost:5173")
    assert listed.status == 403 and "access-control-allow-credentials" not in listed.headers


def test_revoking_the_token_ends_links_logins_and_live_readers(make_web: Callable[..., Web]) -> None:
    web = make_web()
    web.box.kill_node()
    web.box.env["HOLDFAST_LIMIT_HTTP_HEARTBEAT_S"] = "50ms"
    web.start()
    web.ask("PUT", STREAM, web.mint("streams:write"), b"secret", Content_Type="text/plain")
    made = link(web.box)
    again = json.loads(web.box.run("token", "link", made.token_id, "-o", "json").stdout)["url"].partition("code=")[2]
    cookie = cookie_of(enter(web, made.code))
    request = urllib.request.Request(f"{web.url}{STREAM}?offset=-1&live=sse", headers={"Cookie": cookie})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.readline() == b"event: data\n"
        web.box.run("token", "revoke", made.token_id)
        rest = answer.read()
    assert b"event: error\n" in rest and b"HF-401" in rest
    assert web.ask("GET", STREAM, Cookie=cookie).status == 401
    assert enter(web, again).status == 403
    assert web.box.run("token", "link", made.token_id, code=125).stderr.count(b"revoked") == 1


def test_links_and_logins_get_too_old(make_web: Callable[..., Web]) -> None:
    web = make_web()
    web.box.kill_node()
    web.box.env |= {"HOLDFAST_LIMIT_LOGIN_LINK_S": "1ms", "HOLDFAST_LIMIT_LOGIN_S": "1ms"}
    web.start()
    assert enter(web, link(web.box).code).status == 403
    web.box.kill_node()
    del web.box.env["HOLDFAST_LIMIT_LOGIN_LINK_S"]
    web.start()
    got = enter(web, link(web.box).code)  # on a slow disk it is over before it has begun
    assert got.status == 403 or web.ask("GET", STREAM, Cookie=cookie_of(got)).status == 401


def test_a_login_outlives_the_node_and_ends_when_it_is_left(web: Web) -> None:
    cookie = cookie_of(enter(web, link(web.box).code))
    unused = link(web.box)
    web.box.kill_node()
    web.start()
    assert web.ask("GET", STREAM, Cookie=cookie).body == b"secret"
    assert enter(web, unused.code).status == 403
    left = web.ask("POST", "/v1/leave", "", b"", Cookie=cookie, Origin=web.url)
    assert left.status == 204 and "max-age=0" in left.headers["set-cookie"].lower()
    assert web.ask("GET", STREAM, Cookie=cookie).status == 401


def test_who_shows_a_token_gets_a_link_for_its_user(web: Web) -> None:
    token = web.mint("streams:read")
    made = web.ask("POST", "/v1/login", token, b'{"to": "/"}')
    assert made.status == 201
    path = json.loads(made.body)["path"]
    entered = enter(web, path.partition("code=")[2])
    assert entered.headers["location"] == "/"
    assert web.ask("GET", STREAM, Cookie=cookie_of(entered)).body == b"secret"
    assert web.ask("POST", "/v1/login", "", b"").status == 401
    for body in (b'{"to": "//evil.example"}', b'{"two": 1}', b"[", b'{"to": 1}'):
        assert code(web.ask("POST", "/v1/login", token, body)) == "HF-101"


def test_behind_a_proxy_with_tls_the_cookie_is_for_tls_only(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-host", "node.example")
    made = link(web.box, "--base", "https://node.example/")
    assert made.url.startswith("https://node.example/v1/enter?code=")
    got = enter(web, made.code, "https://node.example", Host="node.example")
    assert got.status == 200 and b"You are in" in got.body
    assert "secure" in got.headers["set-cookie"].lower()


def test_where_nobody_needs_a_token_nobody_logs_in(make_web: Callable[..., Web]) -> None:
    web = make_web("--http-open")
    assert web.ask("GET", "/v1/enter?code=x").status == 404
    assert b"--http-open" in web.box.run("token", "link", "--sub", "a", "--scope", "streams:read", code=125).stderr


def test_bad_links_are_refused(node_box: NodeBox) -> None:
    done = node_box.run("token", "link", "--sub", "a", "--scope", "streams:read", code=125)
    assert b"--http" in done.stderr
    (left,) = json.loads(node_box.run("token", "ls", "-o", "json").stdout)
    assert left["revoked_at"]  # nobody can use it, so nobody has to find it
    assert b"--sub" in node_box.run("token", "link", code=125).stderr
    assert b"--sub" in node_box.run("token", "link", "abc", "--sub", "x", code=125).stderr


def test_what_somebody_wrote_into_a_stream_cannot_act_as_a_page(web: Web) -> None:
    token = web.mint("streams:write")
    web.ask("PUT", "/v1/stream/page", token, b"<script>alert(1)</script>", Content_Type="text/html")
    got = web.ask("GET", "/v1/stream/page", web.mint("streams:read"))
    assert "sandbox" in got.headers["content-security-policy"]
    assert got.headers["x-content-type-options"] == "nosniff"
