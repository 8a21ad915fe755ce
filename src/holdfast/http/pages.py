"""Pages for people: the door's own few words, and the files of ``--http-root``."""

from __future__ import annotations

import hashlib
import html
import mimetypes
import os
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..errors import LimitExceeded, NotFound, UsageError
from .problems import problem
from .serving import matches_etag

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_STYLE = """
:root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }
body { max-width: 34rem; margin: 18vh auto 0; padding: 0 1.5rem; }
h1 { font-size: 1.4rem; }
button { font: inherit; padding: .5rem 1.2rem; border: 0; border-radius: .5rem; cursor: pointer; }
button { background: #2a7f62; color: #fff; }
""".strip()
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_OWN_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_ROOT_POLICY = "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
"""Scripts and styles from files, none inside the page: whatever a message holds, it stays text."""


def html_page(title: str, body: str, status: int = 200) -> Response:
    """A small page of the door's own; ``body`` is HTML already."""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)} · holdfast</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>{body}"
    )
    headers = {
        "cache-control": "no-store",
        "content-security-policy": _OWN_POLICY,
        "referrer-policy": "strict-origin",  # a form must say where it comes from; the code stays out of it
    }
    return HTMLResponse(text, status, headers=headers)


class _File(NamedTuple):
    content: bytes
    content_type: str
    etag: str


class WebRoot:
    """The files below a directory, as they were when it was made.  An ASGI application; anybody may read them."""

    def __init__(self, directory: str, bytes_max: int) -> None:
        """UsageError if it cannot be read, LimitExceeded (http_root_bytes_max).  Blocks.

        Hidden files and links that lead out of it are left out.
        """
        self._files: dict[str, _File] = {}
        top = os.path.realpath(directory)
        if not os.path.isdir(top):
            raise UsageError(f"http_root: {directory} is no directory", field="http_root")
        size = 0
        for where, directories, names in os.walk(top):
            directories[:] = [name for name in directories if not name.startswith(".")]
            for name in names:
                path = os.path.realpath(os.path.join(where, name))
                if name.startswith(".") or not path.startswith(top + os.sep) or not os.path.isfile(path):
                    continue
                size += os.path.getsize(path)
                if size > bytes_max:
                    raise LimitExceeded(name="http_root_bytes_max", limit=bytes_max, value=size)
                self._add(os.path.relpath(os.path.join(where, name), top), path)

    def _add(self, name: str, path: str) -> None:
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise UsageError(f"http_root: {path}: {error.strerror}", field="http_root") from error
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        charset = "; charset=utf-8" if kind.startswith("text/") or kind in ("application/json", "image/svg+xml") else ""
        found = _File(content, kind + charset, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
        url = "/" + name.replace(os.sep, "/")
        self._files[url] = found
        if name.rpartition(os.sep)[2] == "index.html":
            self._files[url.removesuffix("index.html")] = found

    @property
    def home(self) -> str:
        """The page to begin with; empty if there is none."""
        return "/" if "/" in self._files else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        found = self._files.get(request.scope["path"])
        if found is None:
            return problem(NotFound(kind="page", name=request.scope["path"]))
        if request.method not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"allow": "GET, HEAD", "cache-control": "no-store"})
        headers = {"cache-control": "no-cache", "etag": found.etag, "content-security-policy": _ROOT_POLICY}
        if matches_etag(request.headers.get("if-none-match"), found.etag):
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers={**headers, "content-type": found.content_type})
