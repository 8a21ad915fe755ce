"""What a client shows to its node, where it gets it from, and where a new one comes from when it is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from ..errors import UsageError
from ..paths import Address, Places, address_of, places
from ..rpc.handshake.authenticators import BearerClient, LocalClient
from ..rpc.handshake.greeting import Authenticator

GetToken = Callable[[], str]
GetTokenSoon = Callable[[], str | Awaitable[str]]


class Credentials:
    """One client's token, if it shows any.

    ``callback`` gives another when the one shown is refused; without one a refusal is final.
    """

    def __init__(self, token: str = "", callback: GetTokenSoon | None = None) -> None:
        self._token = token
        self._callback = callback

    async def authenticator(self, *, refused: bool = False) -> Authenticator:
        """What to open a connection with; ``refused``: what was shown last is not good any more."""
        if self._due(refused):
            self._take(await _awaited(self._ask()))
        return self._authenticator()

    def authenticator_now(self, *, refused: bool = False) -> Authenticator:
        """:meth:`authenticator` for the blocking client; UsageError if the callback is asynchronous."""
        if self._due(refused):
            token = self._ask()
            if not isinstance(token, str):
                raise UsageError("token_callback: the blocking client needs one that is not async", "token_callback")
            self._take(token)
        return self._authenticator()

    @property
    def renewable(self) -> bool:
        """Whether a refused token can be replaced."""
        return self._callback is not None

    def _due(self, refused: bool) -> bool:
        return self._callback is not None and (refused or not self._token)

    def _ask(self) -> str | Awaitable[str]:
        assert self._callback is not None, "asked for only when due"
        return self._callback()

    def _take(self, token: str) -> None:
        if not token:
            raise UsageError("token_callback: it gave no token", "token_callback")
        self._token = token

    def _authenticator(self) -> Authenticator:
        return BearerClient(self._token) if self._token else LocalClient()


async def _awaited(token: str | Awaitable[str]) -> str:
    return token if isinstance(token, str) else await token


class Target(NamedTuple):
    """A node to connect to, and how."""

    places: Places
    address: Address
    credentials: Credentials
    ca_file: str
    """Whom to trust under TLS; empty: the system's authorities."""
    own: bool
    """Whether this is the node of ``places``, which may be started; not one that is merely reached at some socket."""


def target(
    url: str | None,
    *,
    token: str | None,
    token_callback: GetTokenSoon | None,
    ca_file: str | None,
    env: Mapping[str, str] = os.environ,
) -> Target:
    """What the caller or else ``env`` says: HOLDFAST_URL, HOLDFAST_TOKEN, HOLDFAST_TOKEN_FILE, HOLDFAST_CA_FILE.

    On a unix socket a token is shown only if the caller gives one: the owner needs none.  UsageError for a bad URL or
    a file that cannot be used.
    """
    own = places(env)
    where = own if url is None else own._replace(url=url)
    address = address_of(where.url)
    if token is None and token_callback is None and address.scheme != "unix":
        token, token_callback = _from_environment(env)
    trusted = ca_file if ca_file is not None else env.get("HOLDFAST_CA_FILE", "")
    return Target(where, address, Credentials(token or "", token_callback), trusted, own=where.url == own.url)


def _from_environment(env: Mapping[str, str]) -> tuple[str | None, GetToken | None]:
    """A file is read again whenever the token is refused: whoever keeps it fresh need not restart us."""
    token, path = env.get("HOLDFAST_TOKEN"), env.get("HOLDFAST_TOKEN_FILE")
    return token, (lambda: read_token_file(path)) if path and not token else None


def read_token_file(path: str) -> str:
    """The token in the file; UsageError if it cannot be read, or others can."""
    try:
        with open(path, encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise UsageError(f"token_file: others may read {path} (mode {mode:04o}); chmod 600 it", "token_file")
            token = file.read().strip()
    except UnicodeDecodeError:
        raise UsageError(f"token_file: {path} does not hold a token", "token_file") from None
    except OSError as error:
        raise UsageError(f"token_file: cannot read {path}: {error.strerror}", "token_file") from error
    if not token:
        raise UsageError(f"token_file: {path} is empty", "token_file")
    return token
