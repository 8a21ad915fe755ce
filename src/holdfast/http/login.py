"""Logging a browser in: a link that is good once becomes a cookie.

Opening the link only shows who would be let in: programs that look at links for their users must not use it up, and
nobody is logged in as somebody else by a page that opens links.  The button on it uses the code, with a request that
must come from this page.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..errors import PermissionDenied, Unauthenticated
from .bodies import read_body, read_json
from .gate import proof_of
from .pages import html_page

if TYPE_CHECKING:
    from starlette.requests import Request

    from .gate import Entrance, Gate

ENTER = "/v1/enter"
_BODY_BYTES_MAX = 4096
_NO_STORE = {"cache-control": "no-store"}
_DEAD = "This link was used already, or is too old. Ask for another: <code>holdfast token link</code>"


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    to: str = ""


class LoginPages:
    """The requests of logging in and out.  ``home`` is where a browser goes on to if its link does not say."""

    def __init__(self, gate: Gate, entrance: Entrance, home: str = "") -> None:
        self._gate = gate
        self._entrance = entrance
        self._home = home

    def routes(self) -> list[Route]:
        """What is answered here."""
        return [
            Route(ENTER, self._show, methods=["GET"]),
            Route(ENTER, self._enter, methods=["POST"]),
            Route("/v1/leave", self._leave, methods=["POST"]),
            Route("/v1/login", self._link, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        """Whom the link lets in, and the button that does it."""
        code = request.query_params.get("code", "")
        try:
            visitor = self._entrance.look(code)
        except Unauthenticated:
            return html_page("Not this way", f"<p>{_DEAD}</p>", 403)
        name = html.escape(visitor.subject)
        form = (
            f"<p>This link logs this browser in to the node at <b>{html.escape(request.headers['host'])}</b> as "
            f'<b>{name}</b>. It is good once.</p><form method="post" action="{ENTER}">'
            f'<input type="hidden" name="code" value="{html.escape(code)}"><button>Enter as {name}</button></form>'
        )
        return html_page(f"Enter as {visitor.subject}?", form)

    async def _enter(self, request: Request) -> Response:
        """Use the code up, and give a cookie."""
        proof = proof_of(request)
        if not proof.own_page:
            raise PermissionDenied("Origin: a code is taken from this node's own page only")
        form = parse_qs((await read_body(request, _BODY_BYTES_MAX)).decode(errors="replace"))
        try:
            admission = await self._entrance.enter(form.get("code", [""])[0], proof.peer)
        except Unauthenticated:
            return html_page("Not this way", f"<p>{_DEAD}</p>", 403)
        page = admission.page or self._home
        answer: Response
        if page:
            answer = RedirectResponse(page, 303, headers=_NO_STORE)
        else:
            name = html.escape(admission.subject)
            answer = html_page("You are in", f"<p>This browser is logged in as <b>{name}</b>.</p>")
        self._set_cookie(request, answer, admission.cookie, admission.max_age_s)
        return answer

    async def _leave(self, request: Request) -> Response:
        """Give the login up."""
        proof = proof_of(request)
        await self._entrance.leave(self._gate.authenticate(proof), proof.peer)
        answer = Response(status_code=204, headers=_NO_STORE)
        self._set_cookie(request, answer, "", 0)
        return answer

    async def _link(self, request: Request) -> Response:
        """A link for who shows a token: to hand it to a browser, as a web application does to its user's."""
        identity = self._gate.authenticate(proof_of(request))
        wanted = await read_json(request, _BODY_BYTES_MAX, _Wanted)
        code, expires_at = self._entrance.link(identity, wanted.to)
        return JSONResponse({"path": f"{ENTER}?code={code}", "expires_at": expires_at}, 201, headers=_NO_STORE)

    def _set_cookie(self, request: Request, answer: Response, value: str, max_age_s: int) -> None:
        answer.set_cookie(
            self._entrance.cookie_name,
            value,
            max_age=max_age_s,
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.headers.get("origin", "").startswith("https://"),
        )
