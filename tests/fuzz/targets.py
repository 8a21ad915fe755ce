"""What reads the wire, for ``fuzz.py``: a peer's bytes against the frame reader, a connection, a token, entries.

Whatever the bytes are: no exception leaves the core, nothing is held beyond the limits, what is over stays over, and a
refusal is said goodbye to.  The first byte chooses how the rest is cut into pieces.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.channels.packing import check_batch, encode_run
from holdfast.channels.unpacking import RunReader, cut_runs, iter_entries
from holdfast.errors import CorruptionError, LimitExceeded, NotFound, ProtocolError, Unauthenticated, UsageError
from holdfast.limits import LIMITS
from holdfast.records.canonical import canonical_json, canonicalise
from holdfast.records.wire import BatchDecoder, encode_batch
from holdfast.rpc.connection import Connection
from holdfast.rpc.events import Failed, RequestReceived
from holdfast.rpc.frames import HEADER_BYTES, PREAMBLE, FrameReader, FrameType
from holdfast.rpc.handshake.authenticators import LocalClient, LocalOwner
from holdfast.rpc.handshake.job_link import JobLinkKeeper
from holdfast.rpc.states import OVER, Role, State
from holdfast.security.keys import node_key
from holdfast.security.tokens import decode_token
from holdfast.streams.reader import Reader
from holdfast.streams.writer import Writer
from holdfast.sync.model import Dialect
from holdfast.sync.peer import SyncPeer
from holdfast.sync.persistence.base import ChannelData
from holdfast.sync.persistence.snapshot import decode_meta, encode_meta, seal
from holdfast.sync.profiles import LAN
from holdfast.sync.transports.segments import Reassembler
from holdfast.sync.wire import Wire

SMALL = LIMITS._replace(
    frame_bytes_max=4096,
    request_bytes_max=1024,
    handshake_frame_bytes_max=512,
    control_queue_bytes_max=8192,
    calls_in_flight_max=8,
)
SECRET = bytes(32)
NODE_KEY = node_key(Ed25519PrivateKey.from_private_bytes(SECRET))
NOW_S = 1_700_000_000.0
GROUP_PROFILE = LAN.replaced(history_max=4, repair_buffer=4, lost_s=2.0, bloom_capacity=4)


def check_frames(data: bytes) -> None:
    """The frame reader gives frames or a ProtocolError, however the bytes are cut."""
    reader = FrameReader(SMALL.frame_bytes_max)
    list(reader.frames(PREAMBLE))
    step = data[0] + 1 if data else 1
    try:
        for start in range(1, len(data), step):
            for frame in reader.frames(memoryview(data)[start : start + step]):
                assert len(frame.body) <= SMALL.frame_bytes_max
            assert reader.buffered_bytes <= SMALL.frame_bytes_max + HEADER_BYTES
    except ProtocolError as error:
        assert error.reason in {"malformed", "unknown-type", "frame-too-large"}


def check_handshake(data: bytes) -> None:
    """Nobody gets in by chance, and a stranger is told why."""
    server = Connection(Role.SERVER, JobLinkKeeper("job", SECRET, bytes), now=0.0, limits=SMALL)
    _feed(server, data)
    assert server.state is not State.OPEN


def check_connection(data: bytes) -> None:
    """An open connection with calls and streams under way."""
    server = _opened()
    server.call("m", {}, now=0.0, deadline_s=1.0)
    server.broker.add_sender(Writer(2, window=100))
    server.broker.add_reader(Reader(3, window_bytes=1000))
    _feed(server, data)


def check_token(data: bytes) -> None:
    """Whatever is no token of the node's is Unauthenticated, before and after its signature would have been good."""
    text = data.decode("utf-8", "replace")
    for token in (text, _signed(data)):
        try:
            identity = decode_token(NODE_KEY, token, NOW_S)
        except Unauthenticated:
            continue
        assert identity.token_id
        assert not identity.local


def check_batches(data: bytes) -> None:
    """A batch is refused by the place of its draft, or its entries are just its drafts."""
    try:
        batch = check_batch(data)
    except UsageError as error:
        assert error.field.startswith("batch")
        return
    run = encode_run(1, b"me", 0.0, batch.data, batch.entries)
    entries = list(iter_entries(run))
    assert [entry.sequence for entry in entries] == list(batch.sequences)
    assert b"".join(map(batch.draft, range(batch.entries))) == data
    for index in range(1, min(batch.entries, 4) + 1):
        assert list(iter_entries(cut_runs(run, index, index + 1))) == entries[index - 1 : index]


def check_runs(data: bytes) -> None:
    """Runs are refused, or their indexes count on within each; in pieces they are the same."""
    step = data[0] + 1 if data else 1
    reader, parts = RunReader(1 << 16), []
    try:
        for start in range(1, len(data), step):
            parts.append(reader.feed(data[start : start + step]))
            assert reader.buffered_bytes <= (1 << 16) + 4
        whole = b"".join(parts)
        entries = list(iter_entries(whole))
    except ProtocolError as error:
        assert error.reason == "malformed"
        return
    assert data[1:].startswith(whole)
    assert all(entry.index >= 0 and isinstance(entry.payload, bytes) for entry in entries)


def check_records(data: bytes) -> None:
    """A stream of records, cut into pieces, is refused or gives batches that say the same again; so do its records."""
    limits = LIMITS._replace(record_batch_bytes_max=2048, record_batch_items_max=64)
    step, decoder = (data[0] + 1 if data else 1), BatchDecoder(None, limits)
    try:
        for start in range(1, len(data), step):
            decoder.feed(data[start : start + step])
            for batch in decoder:
                again = BatchDecoder()
                again.feed(encode_batch(batch.indexes, batch.bodies, batch.statuses))
                (found,) = again
                assert (list(found.indexes), found.bodies) == (list(batch.indexes), batch.bodies)
                for body in batch.bodies:
                    _check_record(body)
            assert decoder.pending_bytes <= 2048 + 4 + step
        decoder.finish()
    except UsageError as error:
        assert error.field == "batch"


def _check_record(text: bytes) -> None:
    """Its canonical form is that of itself, and of its value."""
    try:
        value, canonical = canonicalise(text)
    except UsageError as error:
        assert error.field == "record"
        return
    assert canonicalise(canonical)[1] == canonical
    assert canonical_json(value) == canonical


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


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": check_frames,
    "handshake": check_handshake,
    "connection": check_connection,
    "batches": check_batches,
    "runs": check_runs,
    "datagrams": check_datagrams,
    "groups": check_groups,
    "snapshots": check_snapshots,
    "token": check_token,
    "records": check_records,
}


def _signed(payload: bytes) -> str:
    """``payload`` as the claims of a token that the node did sign."""
    parts = base64.urlsafe_b64encode(b'{"alg":"EdDSA"}'), base64.urlsafe_b64encode(payload)
    signed = b".".join(part.rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(NODE_KEY.private.sign(signed)).rstrip(b"=")
    return f"{signed.decode()}.{signature.decode()}"


def _opened() -> Connection:
    client = Connection(Role.CLIENT, LocalClient(), now=0.0, limits=SMALL)
    server = Connection(Role.SERVER, LocalOwner(1, 1), now=0.0, limits=SMALL)
    server.receive_bytes(b"".join(client.data_to_send(1 << 20, 0.0)), 0.0)
    server.data_to_send(1 << 20, 0.0)
    assert server.state is State.OPEN
    return server


def _feed(server: Connection, data: bytes) -> None:
    step = data[0] * 4 + 1 if data else 1
    now = 0.0
    for start in range(1, len(data), step):
        now += 0.5
        failed = False
        for event in [*server.receive_bytes(data[start : start + step], now), *server.handle_timer(now)]:
            failed = failed or isinstance(event, Failed)
            if isinstance(event, RequestReceived) and event.number % 2:
                server.respond(event.number, event.params, event.attachment)
        assert server.control_bytes_queued <= 3 * SMALL.control_queue_bytes_max
        said = b"".join(server.data_to_send(1 << 16, now))
        if failed:
            assert server.state in OVER
            assert bytes([FrameType.GOODBYE]) in said
    if server.state in OVER:
        assert server.receive_bytes(data, now) == [] and server.handle_timer(now + 100) == []
