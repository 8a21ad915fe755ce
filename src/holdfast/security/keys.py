"""The node's key pair: Ed25519, made at first use, never leaving the state directory."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from ..errors import CorruptionError
from ..paths import make_private_dir
from .files import read_private, write_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ID_LENGTH = 16


class NodeKey(NamedTuple):
    """What the node signs tokens with and knows them by."""

    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    node_id: str
    """Derived from the public key; names the node in its tokens."""


def load_key(directory: str) -> NodeKey:
    """The key in ``directory``, made if there is none; removing the file makes every token of the node worthless.

    StorageError if it cannot be kept or others may read it, CorruptionError if it is no key.  Blocks.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    make_private_dir(directory)
    path = os.path.join(directory, "node.pem")
    try:
        return node_key(_parse(path, read_private(path)))
    except FileNotFoundError:
        private = Ed25519PrivateKey.generate()
        write_private(path, _pem(private))
        return node_key(private)


def node_key(private: Ed25519PrivateKey) -> NodeKey:
    """The pair and the node's id that belong to ``private``."""
    public = private.public_key()
    return NodeKey(private, public, hashlib.sha256(public.public_bytes_raw()).hexdigest()[:_ID_LENGTH])


def _parse(path: str, pem: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise CorruptionError(where=path, expected="an Ed25519 key", got="no key") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise CorruptionError(where=path, expected="an Ed25519 key", got=type(private).__name__)
    return private


def _pem(private: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
