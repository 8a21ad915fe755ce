"""The link between a node and the keeper of one of its jobs: each proves that it knows the job's secret."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import ProtocolError, Unauthenticated
from ..bodies import text_field
from .greeting import AuthBody, expect_method
from .proofs import PROOF_BYTES, hmac_sha256, same

NONCE_BYTES = 32
"""Fresh random bytes from each end, so that an old proof is worth nothing."""
SECRET_BYTES = 32
"""A job's secret."""

_LABEL = b"holdfast job-link 1"


class JobLinkNode:
    """The node's end of the link to the keeper of ``job_id``; mutual, by the job's ``secret``, which never travels.

    ``random(n)`` gives n fresh random bytes.
    """

    method = "job-link"
    identity = ""

    def __init__(self, job_id: str, secret: bytes, random: Callable[[int], bytes]) -> None:
        _check_secret(secret)
        self._job_id = job_id
        self._secret = secret
        self._nonce = random(NONCE_BYTES)
        self.proven = False

    def first(self) -> AuthBody | None:
        """Name the job and the role, and challenge the keeper."""
        return {"method": self.method, "job": self._job_id, "role": "node", "nonce": self._nonce.hex()}

    def receive(self, body: AuthBody) -> AuthBody | None:
        """Check the keeper's proof and give ours; Unauthenticated if it does not know the secret."""
        if self.proven:
            raise ProtocolError("AUTH after the keeper's proof", "wrong-state")
        keeper_nonce = _hex_field(body, "nonce", NONCE_BYTES)
        nonces = self._nonce + keeper_nonce
        _check_proof(body, self._secret, "keeper", self._job_id, nonces)
        self.proven = True
        return {"proof": _proof(self._secret, "node", self._job_id, nonces).hex()}


class JobLinkKeeper:
    """The keeper's end of the link from the node that owns ``job_id``; see :class:`JobLinkNode`."""

    method = "job-link"

    def __init__(self, job_id: str, secret: bytes, random: Callable[[int], bytes]) -> None:
        _check_secret(secret)
        self._job_id = job_id
        self._secret = secret
        self._nonce = random(NONCE_BYTES)
        self._nonces = b""
        self.proven = False
        self.identity = ""

    def first(self) -> AuthBody | None:
        """An accepting end waits."""
        return None

    def receive(self, body: AuthBody) -> AuthBody | None:
        """First the challenge, then the node's proof; Unauthenticated for another job or secret."""
        if not self._nonces:
            return self._receive_challenge(body)
        if self.proven:
            raise ProtocolError("AUTH after the node's proof", "wrong-state")
        _check_proof(body, self._secret, "node", self._job_id, self._nonces)
        self.proven = True
        self.identity = f"node:{self._job_id}"
        return None

    def _receive_challenge(self, body: AuthBody) -> AuthBody:
        expect_method(self.method, body)
        if not same(text_field(body, "job", "AUTH").encode(), self._job_id.encode()):
            raise Unauthenticated("job link: this is the keeper of another job")
        if text_field(body, "role", "AUTH") != "node":
            raise Unauthenticated("job link: only the role node is known here")
        self._nonces = _hex_field(body, "nonce", NONCE_BYTES) + self._nonce
        proof = _proof(self._secret, "keeper", self._job_id, self._nonces)
        return {"nonce": self._nonce.hex(), "proof": proof.hex()}


def _proof(secret: bytes, role: str, job_id: str, nonces: bytes) -> bytes:
    """What only a holder of the secret can say, in this role, for this job, on this connection."""
    return hmac_sha256(secret, b"\0".join((_LABEL, role.encode(), job_id.encode())) + nonces)


def _check_proof(body: AuthBody, secret: bytes, role: str, job_id: str, nonces: bytes) -> None:
    if not same(_hex_field(body, "proof", PROOF_BYTES), _proof(secret, role, job_id, nonces)):
        raise Unauthenticated(f"job link: the {role} does not know the secret of job {job_id}")


def _check_secret(secret: bytes) -> None:
    assert len(secret) == SECRET_BYTES, "a job's secret has 32 bytes"


def _hex_field(body: AuthBody, name: str, size: int) -> bytes:
    try:
        value = bytes.fromhex(text_field(body, name, "AUTH"))
    except ValueError as error:
        raise ProtocolError(f"AUTH: {name} must be hexadecimal") from error
    if len(value) != size:
        raise ProtocolError(f"AUTH: {name} must have {size} bytes, not {len(value)}")
    return value
