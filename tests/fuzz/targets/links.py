"""What reads a connection's bytes: frames, the handshake, calls and streams, tokens."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.errors import ProtocolError, Unauthenticated
from holdfast.limits import LIMITS
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
