"""The files of a web root: what is served, and what never is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import LimitExceeded, UsageError
from holdfast.http.pages import WebRoot, html_page


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "sub" / ".git").mkdir(parents=True)
    (made / "index.html").write_text("<h1>home")
    (made / "app.js").write_text("1")
    (made / "sub" / "index.html").write_text("<h1>sub")
    (made / ".env").write_text("secret")
    (made / "sub" / ".git" / "config").write_text("secret")
    (tmp_path / "outside").write_text("secret")
    (made / "link").symlink_to(tmp_path / "outside")
    (made / "other.js").symlink_to(made / "app.js")
    return made


def ask(root: WebRoot, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(root(scope, None, send))  # type: ignore[arg-type]
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, sent[1]["body"]


def test_files_and_their_types(directory: Path) -> None:
    root = WebRoot(str(directory), 1 << 20)
    assert root.home == "/"
    for path, body, kind in (
        ("/", b"<h1>home", "text/html; charset=utf-8"),
        ("/index.html", b"<h1>home", "text/html; charset=utf-8"),
        ("/sub/", b"<h1>sub", "text/html; charset=utf-8"),
        ("/other.js", b"1", "text/javascript; charset=utf-8"),
    ):
        status, headers, content = ask(root, path)
        assert (status, content, headers["content-type"]) == (200, body, kind)
        assert "default-src 'self'" in headers["content-security-policy"]
    _, headers, _ = ask(root, "/app.js")
    assert ask(root, "/app.js", if_none_match=headers["etag"])[0] == 304
    assert ask(root, "/app.js", "POST")[0] == 405


@pytest.mark.parametrize(
    "path", ["/.env", "/sub/.git/config", "/link", "/../outside", "/sub/../app.js", "//app.js", "/sub", "/app.js/", ""]
)
def test_what_is_hidden_or_outside_is_not_there(directory: Path, path: str) -> None:
    status, _, body = ask(WebRoot(str(directory), 1 << 20), path)
    assert status == 404 and b"secret" not in body


def test_what_cannot_be_served_is_said(directory: Path) -> None:
    with pytest.raises(LimitExceeded, match="http_root_bytes_max"):
        WebRoot(str(directory), 10)
    with pytest.raises(UsageError, match=r"^http_root: "):
        WebRoot(str(directory / "index.html"), 10)
    assert WebRoot(str(directory / "sub" / ".git"), 1 << 20).home == ""


def test_our_own_pages_run_nothing_and_escape_their_title() -> None:
    page = html_page("<script>", "<p>x</p>")
    assert b"<script>" not in bytes(page.body)
    assert "script-src" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
