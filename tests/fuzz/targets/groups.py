"""What reads what comes from a group's other participants, and its snapshots."""

from __future__ import annotations

from hashlib import blake2b

from holdfast.errors import CorruptionError, LimitExceeded, NotFound, ProtocolError
from holdfast.limits import LIMITS
from holdfast.sync.keys import KEY_BYTES
from holdfast.sync.model import Dialect
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.base import ChannelData
from holdfast.sync.persistence.snapshot import decode_meta, encode_meta, seal
from holdfast.sync.profiles import LAN
from holdfast.sync.transports.sealing import SALT_BYTES, Sealer
from holdfast.sync.transports.segments import Reassembler
from holdfast.sync.wire import Wire

NOW_S = 1_700_000_000.0
GROUP_PROFILE = LAN.replaced(history_max=4, repair_buffer=4, lost_s=2.0, bloom_capacity=4)


def check_datagrams(data: bytes) -> None:
    """Each piece, after its length, is a datagram: nothing is raised, and what is held stays within the limits."""
    limits = LIMITS._replace(group_wire_bytes_max=512, group_parts_bytes_max=2048, group_parts_messages_max=3)
    reassembler, place, now = Reassembler(limits), 0, 0.0
    while place < len(data):
        length, now = data[place], now + 0.5
        message = reassembler.receive(length % 2, data[place + 1 : place + 1 + length], now)
        assert message is None or len(message) <= limits.group_wire_bytes_max
        assert len(reassembler) <= limits.group_parts_messages_max
        assert reassembler.held_bytes <= limits.group_parts_bytes_max
        place += 1 + length


def check_groups(data: bytes) -> None:
    """A participant takes messages of anything: an error it names, or a message; its buffers stay within bounds.

    The first byte chooses the dialect; then each piece, after its length in two bytes, is a message.
    """
    dialect: Dialect = "nim" if data[:1] > b"\x7f" else "spec"
    peer = SyncPeer("alice", dialect=dialect, profile=GROUP_PROFILE)
    peer.ensure("c", NOW_S)
    peer.wrap("c", b"x", NOW_S, "mine")
    place, now = 1, NOW_S
    while place + 2 <= len(data):
        length = int.from_bytes(data[place : place + 2], "big")
        piece, now = data[place + 2 : place + 2 + length], now + 0.5
        try:
            peer.unwrap(piece, now)
        except (ProtocolError, LimitExceeded, NotFound):
            pass
        peer.handle_timer(now)
        status = peer.status("c")
        assert status.history <= GROUP_PROFILE.history_max
        assert status.repair_requests <= GROUP_PROFILE.repair_buffer >= status.repair_responses
        for packet in peer.packets():
            Wire(dialect).decode(packet.data)
        place += 2 + length
    for write in peer.writes():
        assert write.meta is not None
        stored = ChannelData(write.meta, write.history.append if write.history is not None else ())
        peer.events()
        again = SyncPeer("alice", dialect=dialect, profile=GROUP_PROFILE)
        again.ensure("c", now, stored)
        assert again.status("c").incoming == peer.status("c").incoming


def check_snapshots(data: bytes) -> None:
    """What is sealed is read or refused; what is not is refused; what is read comes back the same."""
    for body in (data, seal(data)):
        try:
            meta = decode_meta(body)
        except CorruptionError:
            continue
        assert decode_meta(encode_meta(meta)) == meta


def check_sealed(data: bytes) -> None:
    """Nobody without the key is heard; what is sealed is opened once; nothing is remembered of strangers."""
    key = blake2b(data, digest_size=KEY_BYTES).digest()  # or the comparisons that are watched would give it away
    alice, bob = (Sealer(key, bytes([who]) * SALT_BYTES, LIMITS) for who in (1, 2))
    assert bob.open(data) is None
    sealed = alice.seal(data)
    assert len(sealed) == len(data) + Sealer.overhead_bytes
    place = data[0] % len(sealed) if data else 0
    changed = sealed[:place] + bytes([sealed[place] ^ (data[-1] if data else 1)]) + sealed[place + 1 :]
    assert changed == sealed or bob.open(changed) is None
    assert bob.open(sealed[:-1]) is None
    assert bob.open(sealed) == data
    assert bob.open(sealed) is None
    assert alice.open(sealed) is None
