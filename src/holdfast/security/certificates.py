"""A certificate the node makes for itself, for ``serve --tls-self-signed``: clients trust it by its file."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, NamedTuple

from ..paths import make_private_dir
from .files import read_private, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

VALID_DAYS = 365
"""A year; every start makes a new one of what has less than RENEW_DAYS left."""
RENEW_DAYS = 30
_BACKDATED_H = 1
"""For clients whose clock is behind."""


class SelfSigned(NamedTuple):
    """The files of a certificate and its key, and what to compare it by."""

    cert_file: str
    key_file: str
    fingerprint: str
    """SHA-256 of the certificate, as OpenSSL prints it."""


def self_signed(directory: str, hosts: Sequence[str], wall: float) -> SelfSigned:
    """The certificate in ``directory`` for ``hosts`` (names or IP addresses); made if there is none that is good.

    ``wall``: seconds since the epoch.  One for other hosts or close to its end is replaced.  StorageError if it
    cannot be kept.  Blocks.
    """
    make_private_dir(directory)
    cert_file, key_file = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    now = dt.datetime.fromtimestamp(wall, dt.UTC)
    certificate = _load(cert_file, key_file)
    if certificate is None or not _serves(certificate, hosts, now):
        certificate = _make(cert_file, key_file, hosts, now)
    return SelfSigned(cert_file, key_file, fingerprint_of(certificate))


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256, as ``AB:CD:...``."""
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _load(cert_file: str, key_file: str) -> x509.Certificate | None:
    from cryptography import x509

    try:
        read_private(key_file)
        return x509.load_pem_x509_certificate(read_private(cert_file))
    except (FileNotFoundError, ValueError):
        return None


def _serves(certificate: x509.Certificate, hosts: Sequence[str], now: dt.datetime) -> bool:
    from cryptography import x509

    named = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    fresh = certificate.not_valid_after_utc - now > dt.timedelta(days=RENEW_DAYS)
    return fresh and {_general_name(host) for host in hosts} <= named


def _make(cert_file: str, key_file: str, hosts: Sequence[str], now: dt.datetime) -> x509.Certificate:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(key, hosts, now)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(key_file, secret)
    write_private(cert_file, certificate.public_bytes(pem))
    return certificate


def _sign(key: EllipticCurvePrivateKey, hosts: Sequence[str], now: dt.datetime) -> x509.Certificate:
    """Its own authority, so that a client can name it as the only one it trusts; it can sign no other authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "holdfast node")])
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    ours = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=_BACKDATED_H))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
    )
    for extension, critical in (
        (x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (ours, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ours), False),
        (
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            True,
        ),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    from ipaddress import ip_address

    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
