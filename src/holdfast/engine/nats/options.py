"""Where the NATS servers are and who we are to them.

Secrets come from files or the environment, never from a command line, which everybody on the machine can read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ...errors import UsageError

if TYPE_CHECKING:
    from ssl import SSLContext

DEFAULT_URL = "nats://127.0.0.1:4222"
DEFAULT_PREFIX = "holdfast"
PREFIX_LENGTH_MAX = 32
_PREFIX = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_SCHEMES = ("nats", "tls", "ws", "wss")
VARIABLE = "HOLDFAST_NATS_"


class NatsOptions(NamedTuple):
    """How to reach a deployment.  Each can be set as ``HOLDFAST_NATS_…``, its name in capitals."""

    url: str = DEFAULT_URL
    """``nats://host:port``, or ``tls://``; several, of one cluster, with commas between them."""
    prefix: str = DEFAULT_PREFIX
    """Names the deployment: all its streams and subjects begin with it."""
    replicas: int = 1
    """Copies of all that is stored, on as many servers of a cluster; for streams that are made now."""
    creds: str = ""
    """File of credentials, as ``nsc`` makes them."""
    nkey: str = ""
    """File with the seed of an nkey."""
    token: str = ""
    user: str = ""
    password: str = ""
    token_file: str = ""
    """File with the token in it; the same for the password."""
    password_file: str = ""
    ca: str = ""
    """PEM file of whom to trust for TLS, in place of the system's."""
    cert: str = ""
    """PEM file of our certificate, where servers ask for one."""
    key: str = ""
    """PEM file of its key."""


def options_from(given: Mapping[str, str | int] | None = None, env: Mapping[str, str] = os.environ) -> NatsOptions:
    """What ``env`` says, replaced by what was ``given`` and is not empty.  UsageError for what cannot be."""
    values: dict[str, str | int] = {}
    for name in NatsOptions._fields:
        text = env.get(VARIABLE + name.upper(), "")
        if text:
            values[name] = _number(name, text) if name == "replicas" else text
    values |= {name: value for name, value in (given or {}).items() if value}
    return check_options(NatsOptions(**values))  # type: ignore[arg-type]


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{VARIABLE}{name.upper()}: {text!r} is not a number", field=name) from None


def check_options(options: NatsOptions) -> NatsOptions:
    """``options`` themselves; UsageError, naming the option, if nobody can connect so."""
    for url in urls_of(options):
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise UsageError(f"nats url: {shown(url)!r} is not like nats://host:port or tls://host:port", field="url")
    prefix = options.prefix
    if not 0 < len(prefix) <= PREFIX_LENGTH_MAX or not _PREFIX.issuperset(prefix):
        raise UsageError(
            f"nats prefix: {prefix!r} is not 1 to {PREFIX_LENGTH_MAX} letters, digits, - and _", field="prefix"
        )
    if options.replicas not in {1, 3, 5}:
        raise UsageError(f"nats replicas: {options.replicas} is not 1, 3 or 5", field="replicas")
    if bool(options.cert) != bool(options.key):
        raise UsageError("nats cert and key: one is of no use without the other", field="cert")
    return options


def check_public(url: str) -> str:
    """``url`` itself if it can stand on a command line: UsageError if there is a secret in it."""
    for one in url.split(","):
        if "@" in urlsplit(one).netloc:
            raise UsageError(
                f"nats url: a command line can be read by everybody on this machine; give the password of "
                f"{shown(one)} in {VARIABLE}PASSWORD_FILE, or the whole address in {VARIABLE}URL",
                field="url",
            )
    return url


def urls_of(options: NatsOptions) -> list[str]:
    """Each server's address."""
    return [url.strip() for url in options.url.split(",")]


def shown(url: str) -> str:
    """``url`` without the secrets in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def secret(text: str, path: str) -> str | None:
    """A secret as given, or from its file; None if there is none.  UsageError for a file that cannot be read."""
    if text or not path:
        return text or None
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", field="nats") from None


def tls_context(options: NatsOptions) -> SSLContext | None:
    """What TLS needs; None if there is none.  UsageError for files that do not hold it."""
    if not (options.ca or options.cert or any(url.startswith(("tls:", "wss:")) for url in urls_of(options))):
        return None
    import ssl

    try:
        context = ssl.create_default_context(cafile=options.ca or None)
        if options.cert:
            context.load_cert_chain(options.cert, options.key)
    except OSError as error:  # SSLError is one
        raise UsageError(f"nats TLS: {options.ca or options.cert}: {error}", field="ca") from None
    return context
