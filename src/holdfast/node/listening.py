"""Where a node listens besides its unix socket: nowhere, unless ``serve --listen`` says so."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError
from ..grpc.settings import GrpcSettings, parse_authority
from ..http.settings import HttpSettings, parse_listen
from ..paths import Address, address_of
from ..rpc.sockets.inet import is_loopback

if TYPE_CHECKING:
    import ssl


class ListenOptions(NamedTuple):
    """What ``serve`` was asked for."""

    listen: tuple[str, ...] = ()
    """``tls://HOST:PORT`` or ``tcp://HOST:PORT``; port 0: any that is free."""
    tls_cert: str = ""
    tls_key: str = ""
    tls_self_signed: bool = False
    """Make a certificate, unless there is one."""
    insecure_listen: bool = False
    """Allow ``tcp``, HTTP and gRPC where others can read along."""
    http: str = ""
    """``HOST:PORT`` of the HTTP door; port 0: any that is free; empty: there is none."""
    http_host: tuple[str, ...] = ()
    """Names it is reached by, beside this machine's own."""
    http_origin: tuple[str, ...] = ()
    """Web pages that may use it; ``*``: all."""
    http_open: bool = False
    """Let everybody in who reaches it, without a token."""
    http_root: str = ""
    """Directory of web pages it serves beside; empty: none."""
    grpc: str = ""
    """``HOST:PORT`` of the gRPC door; port 0: any that is free; empty: there is none."""
    grpc_open: bool = False
    """Let everybody in who reaches it, without a token."""


class Certificate(NamedTuple):
    """What the node shows to TLS clients."""

    cert_file: str
    key_file: str
    fingerprint: str = ""
    """Of one that the node made; it is trusted by its file or by this."""


def addresses(options: ListenOptions) -> list[Address]:
    """The places to listen at; UsageError for options that are wrong or do not go together."""
    found = [address_of(url, "listen") for url in options.listen]
    for where in found:
        if where.scheme == "unix":
            raise UsageError("listen: the unix socket's place is HOLDFAST_URL's to say", field="listen")
        if where.scheme == "tcp" and not (is_loopback(where.host) or options.insecure_listen):
            what = f"{where} would carry tokens in the clear; use tls://, or --insecure-listen if the network is yours"
            raise UsageError(f"listen: {what}", field="listen")
    wants_tls = any(where.scheme == "tls" for where in found)
    if bool(options.tls_cert) != bool(options.tls_key):
        raise UsageError("tls_cert: a certificate and its key come together", field="tls_cert")
    if options.tls_cert and options.tls_self_signed:
        raise UsageError("tls_self_signed: a certificate is given already", field="tls_self_signed")
    has_tls = bool(options.tls_cert or options.tls_self_signed)
    if wants_tls and not has_tls:
        raise UsageError("listen: tls:// needs --tls-cert and --tls-key, or --tls-self-signed", field="listen")
    if has_tls and not wants_tls:
        raise UsageError("tls_cert: no tls:// address is listened at", field="tls_cert")
    return found


def http_settings(options: ListenOptions) -> HttpSettings | None:
    """The HTTP door as it was asked for; UsageError for options that are wrong or do not go together."""
    if not options.http:
        if options.http_host or options.http_origin or options.http_open or options.http_root:
            flags = "--http-host, --http-origin, --http-open and --http-root"
            raise UsageError(f"http: {flags} need --http HOST:PORT", field="http")
        return None
    host, port = parse_listen(options.http)
    if not (is_loopback(host) or options.insecure_listen):
        what = f"{host} would carry tokens in the clear; listen on this machine behind a proxy with TLS"
        raise UsageError(f"http: {what}, or use --insecure-listen if the network is yours", field="http")
    if options.http_open and not is_loopback(host):
        raise UsageError(
            f"http_open: {host} is reached by others; without tokens only this machine is served", "http_open"
        )
    if options.http_open and "*" in options.http_origin:
        raise UsageError("http_open: without tokens, * would let every web page you visit in; name yours", "http_open")
    return HttpSettings(host, port, options.http_host, options.http_origin, options.http_open, options.http_root)


def grpc_settings(options: ListenOptions) -> GrpcSettings | None:
    """The gRPC door as it was asked for; UsageError for options that are wrong or do not go together."""
    if not options.grpc:
        if options.grpc_open:
            raise UsageError("grpc: --grpc-open needs --grpc HOST:PORT", field="grpc")
        return None
    host, port = parse_authority(options.grpc)
    if not is_loopback(host) and options.grpc_open:
        raise UsageError(f"grpc: --grpc-open is for this machine only, not for {host}", field="grpc")
    if not (is_loopback(host) or options.insecure_listen):
        what = f"{host} would carry tokens in the clear; listen on this machine behind a proxy with TLS"
        raise UsageError(f"grpc: {what}, or use --insecure-listen if the network is yours", field="grpc")
    return GrpcSettings(host, port, options.grpc_open)


def certificate(options: ListenOptions, found: list[Address], state_dir: str, wall: float) -> Certificate | None:
    """The certificate for the ``tls`` addresses among ``found``; None if there is none.  Blocks."""
    if not any(where.scheme == "tls" for where in found):
        return None
    if options.tls_cert:
        return Certificate(options.tls_cert, options.tls_key)
    from ..security.certificates import self_signed

    hosts = {where.host for where in found} - {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    names = sorted(hosts | {"localhost", "127.0.0.1", "::1", socket.gethostname()})
    return Certificate(*self_signed(os.path.join(state_dir, "tls"), names, wall))


def tls_context(shown: Certificate) -> ssl.SSLContext:
    """For listening; UsageError if the files cannot be used."""
    from ..rpc.sockets.tls import server_context

    return server_context(shown.cert_file, shown.key_file)
