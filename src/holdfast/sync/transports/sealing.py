"""Datagrams sealed with a key that the group shares: nobody else reads, changes or makes one.  Sans-I/O.

A sealed datagram begins with ``HS``, a version and the kind 2.  Then follow the salt of whoever sealed it (16 bytes,
drawn anew at each start), a number (64 bits, big-endian), and the datagram under ChaCha20-Poly1305, with all that comes
before it authenticated.  The cipher's key is the BLAKE2b of the salt, keyed with the group's key; its nonce is the
number, which counts up.  So no nonce is ever used twice with a key, however much is sent by however many.

Each number of a salt is taken once: what was recorded and sent again is refused, for as long as the salt is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..keys import check_key
from .segments import PREFIX

if TYPE_CHECKING:
    from ...limits import Limits

_SEALED: Final = PREFIX + b"\2"
SALT_BYTES: Final = 16
_NUMBER_BYTES: Final = 8
_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = len(_SEALED) + SALT_BYTES + _NUMBER_BYTES
_WINDOW: Final = 4_096
"""Numbers back from a salt's newest that may still come, as networks reorder.  Older ones are refused; whoever lacks
their content asks for it."""
_PERSON: Final = b"holdfast group"
_NONCE_PAD: Final = bytes(12 - _NUMBER_BYTES)


class _Session:
    """A salt that was seen to seal with the group's key."""

    __slots__ = ("cipher", "newest", "seen")

    def __init__(self, cipher: ChaCha20Poly1305) -> None:
        self.cipher = cipher
        self.newest = 0
        self.seen = 0
        """Bit n: the number ``newest - n`` was taken."""

    def is_new(self, number: int) -> bool:
        """Whether the number may be taken."""
        back = self.newest - number
        return back < 0 or (back < _WINDOW and not self.seen >> back & 1)

    def take(self, number: int) -> None:
        """Take it; it is new."""
        ahead = number - self.newest
        if ahead > 0:
            self.seen = (self.seen << ahead & (1 << _WINDOW) - 1) if ahead < _WINDOW else 0
            self.newest = number
            self.seen |= 1
        else:
            self.seen |= 1 << -ahead


class Sealer:
    """Seals and opens datagrams with ``key``.  ``salt``: random, and never used before.

    Whatever it is given to open, it raises nothing and remembers no more than ``group_salts_max``, of those only that
    know the key.
    """

    overhead_bytes: Final = _HEAD_BYTES + _TAG_BYTES
    """What sealing adds to a datagram."""

    def __init__(self, key: bytes, salt: bytes, limits: Limits) -> None:
        assert len(salt) == SALT_BYTES
        self._key = check_key(key)
        self._salt = salt
        self._limits = limits
        self._cipher = self._cipher_of(salt)
        self._number = 0
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()
        self.unverified = 0
        """Datagrams that nobody with the key made, or that came before."""

    def _cipher_of(self, salt: bytes) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(blake2b(salt, digest_size=32, key=self._key, person=_PERSON).digest())

    def seal(self, datagram: bytes) -> bytes:
        """``datagram``, sealed: ``overhead_bytes`` longer."""
        self._number += 1
        number = self._number.to_bytes(_NUMBER_BYTES, "big")
        head = _SEALED + self._salt + number
        return head + self._cipher.encrypt(_NONCE_PAD + number, datagram, head)

    def open(self, sealed: bytes) -> bytes | None:
        """What was sealed; None, and counted, if it was not sealed with our key or came before.

        What we sealed ourselves, as multicast gives it back, is None and not counted.
        """
        if len(sealed) < self.overhead_bytes or not sealed.startswith(_SEALED):
            self.unverified += 1
            return None
        salt = sealed[len(_SEALED) : len(_SEALED) + SALT_BYTES]
        if salt == self._salt:
            return None
        session = self._sessions.get(salt) or _Session(self._cipher_of(salt))
        number = int.from_bytes(sealed[_HEAD_BYTES - _NUMBER_BYTES : _HEAD_BYTES], "big")
        datagram = self._verified(session, number, sealed) if session.is_new(number) else None
        if datagram is None:
            self.unverified += 1
            return None
        session.take(number)
        self._remember(salt, session)
        return datagram

    @staticmethod
    def _verified(session: _Session, number: int, sealed: bytes) -> bytes | None:
        nonce = _NONCE_PAD + number.to_bytes(_NUMBER_BYTES, "big")
        try:
            return session.cipher.decrypt(nonce, sealed[_HEAD_BYTES:], sealed[:_HEAD_BYTES])
        except InvalidTag:
            return None

    def _remember(self, salt: bytes, session: _Session) -> None:
        self._sessions[salt] = session
        self._sessions.move_to_end(salt)
        if len(self._sessions) > self._limits.group_salts_max:
            self._sessions.popitem(last=False)
