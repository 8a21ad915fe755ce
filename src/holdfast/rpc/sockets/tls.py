"""TLS for both shells: who is trusted, and a socket for the blocking one.

Imported only where TLS is used: ``ssl`` costs a short command 15 ms.
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
from collections.abc import Sequence

from ...errors import HoldfastError, ProtocolError, Unavailable, UsageError

_RECORD_BYTES = 16 * 1024
"""Most that one TLS record carries; what is sent at once."""


def client_context(ca_file: str = "") -> ssl.SSLContext:
    """Trusts the certificates in the PEM file ``ca_file`` and nobody else; without one, the system's authorities.

    The host's name is always checked.  UsageError if the file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise UsageError(f"ca_file: cannot use {ca_file}: {error.strerror or error}", field="ca_file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def server_context(cert_file: str, key_file: str) -> ssl.SSLContext:
    """Shows the certificate chain in ``cert_file``; both are PEM files.  TLS 1.3 only: both ends are ours.

    UsageError if one cannot be used, or if others can read the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if stat.S_IMODE(os.stat(key_file).st_mode) & 0o007:
            raise UsageError(f"tls_key: others can read {key_file}; chmod 600 it", field="tls_key")
        context.load_cert_chain(cert_file, key_file)
    except OSError as error:
        what = f"cannot use certificate {cert_file} with key {key_file}: {error.strerror or error}"
        raise UsageError(f"tls_cert: {what}", field="tls_cert") from error
    return context


def tls_error(error: OSError, address: str) -> HoldfastError:
    """What a failed TLS handshake with ``address`` means to the caller."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"{error.verify_message}; ca_file says whom to trust"
        return ProtocolError(f"the certificate of {address} is not trusted: {why}", "certificate")
    if isinstance(error, ssl.SSLError):
        return ProtocolError(f"no TLS with {address}: {error.reason or error}", "tls")
    return Unavailable(f"{address} cut the TLS handshake: {error.strerror or error}", address)


class TlsSocket:
    """A connected socket under TLS that behaves as a plain one that does not block."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._sock = context.wrap_socket(sock, server_hostname=host)

    def setblocking(self, flag: bool) -> None:
        """As of a socket."""
        self._sock.setblocking(flag)

    def recv(self, size: int, /) -> bytes:
        """All that has arrived, ``size`` bytes and the rest of a record at most: what TLS holds shows in no select."""
        parts: list[bytes] = []
        held = 0
        try:
            while held < size or self._sock.pending():
                part = self._sock.recv(_RECORD_BYTES)
                if not part:
                    break
                parts.append(part)
                held += len(part)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if not parts:
                raise BlockingIOError from None
        except OSError:  # heard again by the next call; what came before must not be lost
            if not parts:
                raise
        return b"".join(parts)

    def sendmsg(self, buffers: Sequence[bytes | memoryview], /) -> int:
        """Send one record's worth of ``buffers``.  After a refusal the same bytes must come again: they do."""
        first = buffers[0]
        if len(buffers) > 1 and len(first) < _RECORD_BYTES:
            first = b"".join(buffers)
        try:
            return self._sock.send(memoryview(first)[:_RECORD_BYTES])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def fileno(self) -> int:
        """The descriptor to wait on; -1 once closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close it without the farewell of TLS: GOODBYE has been said."""
        self._sock.close()
