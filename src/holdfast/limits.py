"""Every bound of the product in one place, with its unit in its name and its reason beside it.

``docs/reference/limits.md`` is generated from this file; an error that a limit causes names it and its
value.  Relations between limits are asserted at import.  Tests run with small limits, so that the edges
are the normal case.
"""

from typing import NamedTuple  # and annotations that are types: as texts each would be compiled, 2.5 ms together

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
DAY_S = 86_400.0


class Limits(NamedTuple):
    """The limits, with their defaults; replace some with ``LIMITS._replace(...)``."""

    # RPC
    frame_bytes_max: int = MIB
    """Longest frame body; a longer one closes the connection before anything of it is buffered."""
    handshake_s: float = 10.0
    """How long a connection may take from its first byte to open."""
    ping_interval_s: float = 5.0
    """An idle connection is pinged this often."""
    stall_s: float = 15.0
    """Outstanding data without progress for this long makes a connection stalled."""
    give_up_s: float = 45.0
    """A connection without progress for this long is cut from this end; until then a stalled one may recover."""
    goodbye_s: float = 2.0
    """How long a goodbye may take to leave before the connection is cut."""
    handshake_frame_bytes_max: int = 16 * KIB
    """Longest frame body before the peer has proven who it is."""
    control_queue_bytes_max: int = 8 * MIB
    """Responses and events waiting to be sent on one connection; beyond, calls are refused and events not taken."""
    reconnect_first_s: float = 0.25
    """Ceiling of the first reconnect delay; drawn with full jitter, doubled on each failure."""
    reconnect_last_s: float = 30.0
    """Ceiling of any reconnect delay."""
    reconnect_healthy_s: float = 10.0
    """A connection this old, or one that carried data, resets the backoff."""
    connections_max: int = 1024
    """Connections a node accepts at once."""
    calls_in_flight_max: int = 1024
    """Unanswered calls on one connection; more are refused, not queued."""
    streams_per_connection_max: int = 4096
    """Open streams on one connection."""
    send_buffer_bytes: int = 256 * KIB
    """What a shell hands the kernel ahead of need; small, so that a keystroke overtakes a replay."""

    # streams
    ring_bytes: int = 2 * MIB
    """Capacity of a ring buffer."""
    window_bytes: int = 64 * KIB
    """First congestion window; grows by delivery rate x round trip up to the ring."""
    packet_bytes: int = 16 * KIB
    """First payload size of a data packet; grows to packet_bytes_max with the window."""
    packet_bytes_max: int = 64 * KIB
    """Largest payload of a data packet; fits a frame."""

    # jobs
    spill_bytes_max: int = GIB
    """Undelivered output a keeper keeps on disk for one job, after its ring."""
    spill_segment_bytes: int = 8 * MIB
    """Size of one spill file; room comes back a file at a time."""
    birth_s: float = 10.0
    """Longest a keeper may take from being asked for to its command running; 5 ms are usual, 100 ms without zygote."""
    input_items_max: int = 1_000
    """Input items waiting in a keeper; more are refused until some were applied."""
    input_bytes_max: int = 4 * MIB
    """Bytes of input waiting in a keeper."""
    input_hold_s: float = 0.1
    """How long an input item out of order waits for its elders."""
    keeper_retention_s: float = 7 * DAY_S
    """How long a keeper whose command ended waits for a node."""
    stop_grace_s: float = 10.0
    """From TERM to KILL when a job is stopped."""
    keeper_answer_s: float = 10.0
    """How long a keeper may take to answer, or a killed command to end; milliseconds are usual."""
    job_reconnect_s: float = 1.0
    """First wait before a node dials a keeper again."""
    job_output_bytes_max: int = GIB
    """Output kept for one job; the oldest goes first."""
    job_retention_s: float = 7 * DAY_S
    """How long an ended job and its output are kept."""
    socket_look_s: float = 2.0
    """How often a node looks whether its unix socket is there still; if not, it makes it anew."""
    jobs_max: int = 10_000
    """Jobs a node knows, ended ones included."""
    jobs_page_bytes: int = 512 * KIB
    """Most bytes of one answer of a list of jobs."""
    viewer_window_bytes: int = MIB
    """Window of one viewer's output stream."""
    viewers_per_job_max: int = 256
    """Output streams open on one job."""

    # engines
    state_bytes_max: int = 0
    """Size of the node's database; 0: as large as the disk allows.  At the limit it is as if the disk were full."""
    append_bytes_max: int = 64 * MIB
    """Payload of one append."""
    value_bytes_max: int = 8 * MIB
    """Size of one value in a key-value store."""
    engine_key_length_max: int = 512
    """Characters in the name of a log or in a key."""
    log_meta_bytes_max: int = 64 * KIB
    """Meta of one log; all of it is in memory, and rewritten with each change."""
    log_producers_max: int = 65_536
    """Producers a log remembers; one that is forgotten could append twice, so a new one is refused."""
    engine_pending_bytes_max: int = 256 * MIB
    """Appends called and not yet stored; more are refused until some were, so that a slow disk cannot eat memory."""
    engine_cache_bytes: int = 64 * MIB
    """The tails of all logs together, kept in memory for live readers."""
    log_cache_bytes: int = 8 * MIB
    """The tail of one log kept in memory; a reader further behind reads from disk."""
    commit_bytes_max: int = 8 * MIB
    """Payload of one commit; bounds how long a small append waits behind large ones."""
    row_bytes: int = 256 * KIB
    """Payload at which a stored row is full; larger ones make short reads costly, smaller ones long reads."""
    merge_rows: int = 32
    """Tiny rows at the tail of a log that are merged into one."""
    merge_bytes: int = 64 * KIB
    """A row of this payload is no longer tiny."""
    wal_bytes: int = 4 * MIB
    """Write-ahead log after which a checkpoint is made."""
    watch_bytes_max: int = 16 * MIB
    """Recent changes of keys kept in memory for watchers."""
    blob_meta_bytes_max: int = 128 * KIB
    """What its owner keeps with one blob."""
    blob_part_bytes: int = 256 * KIB
    """A larger blob is stored in parts of this size, each with a checksum of its own."""

    # the nats engine
    nats_connect_s: float = 5.0
    """How long a node that starts tries to reach the NATS servers."""
    nats_reconnect_s: float = 0.5
    """Between two attempts to reach them again; what is appended meanwhile waits."""
    nats_ping_s: float = 5.0
    """Between two pings; a connection that answers none of two is given up for a new one."""
    nats_request_s: float = 5.0
    """For one answer of JetStream, a publish's acknowledgement too; then its outcome is looked up."""
    nats_window_bytes: int = 8 * MIB
    """Messages on their way to a stream; what comes then waits, and is packed together."""
    nats_read_cache_bytes: int = 16 * MIB
    """Messages read back from NATS and kept for whoever reads on."""
    nats_lease_s: float = 5.0
    """How long the holder of a deployment may be silent before a node that starts takes it over."""

    # channels
    channel_rate_max: float = 1_000.0
    """Entries a second for all channels of one process together; a channel with a rate of its own counts alone."""
    channel_burst_max: int = 5_000
    """Entries a process may send at once after a pause."""
    channel_payload_bytes_max: int = 10 * MIB
    """Payload of one entry, with its headers and other fields."""
    channel_batch_bytes_max: int = 16 * MIB
    """One append: what a node holds in memory for one caller while it is checked."""
    channel_entries_max: int = 10_000
    """Entries of one channel; then it is full, or drops its oldest if it was made so."""
    channel_reserve_max: int = 256
    """Entries beyond that which only control messages, receipts, ends and errors may take: a full channel can end."""
    channel_questions_max: int = 64
    """Inputs asked for in one channel and not answered yet."""
    channels_per_process_max: int = 100
    """Channels of one process."""
    channels_max: int = 200_000
    """Channels of a node."""
    channel_retention_s: float = 7 * DAY_S
    """How long a closed channel can be read."""
    channel_page_bytes: int = 512 * KIB
    """Runs in the answer to one read; more comes with the next."""
    channels_page_max: int = 1_000
    """Channels in the answer to one list; more comes with the next."""
    channel_sorted_max: int = 100_000
    """Entries of a channel that can be read by sender: the node sorts them for each page."""
    channel_ledgers_max: int = 4_096
    """Channels whose senders' sequences are in memory; others are read again when somebody appends."""
    subscribers_per_channel_max: int = 10_000
    """Subscribers of one channel."""
    subscriber_entries_max: int = 10_000
    """Entries on their way to one subscriber; further behind it reads from the log, or is let go, as it chose."""
    subscriber_buffer_bytes: int = 4 * MIB
    """The same in bytes."""

    # subjects and sessions
    subject_length_max: int = 256
    """Characters in a subject or a pattern; with the id of a session before it, it is a key of the engine."""
    bus_subscriber_messages_max: int = 65_536
    """Messages waiting for one subscriber of the bus; then the oldest go, and are counted."""
    bus_subscriber_bytes_max: int = 32 * MIB
    """The same in bytes."""
    bus_message_bytes_max: int = MIB
    """One message on the bus."""
    sessions_max: int = 100_000
    """Sessions of a node."""
    sessions_per_identity_max: int = 20_000
    """Sessions that one caller may have at once."""
    session_patterns_max: int = 1_000
    """Patterns of one session."""
    session_message_bytes_max: int = MIB
    """Payload of one message that is published through a session or comes from a feed."""
    session_buffer_messages_max: int = 10_000
    """Messages of feeds that wait for the client of a session; then its patterns' policies say what goes."""
    session_buffer_bytes_max: int = 4 * MIB
    """The same in bytes."""
    session_stream_bytes: int = MIB
    """What is on its way to the client of a session; the rest waits in the logs, or in its buffer."""
    session_read_bytes: int = 128 * KIB
    """What is read at once from a log for a session."""
    session_unacknowledged_max: int = 10_000
    """Messages of durable sources that a client has and did not acknowledge; more are read when it has."""
    session_linger_s: float = 5.0
    """How long a feed that no session is bound to any more goes on, in case one comes back."""
    session_commands_max: int = 4_096
    """Commands waiting for the manager of sessions; more wait at the door."""
    providers_max: int = 256
    """Providers of a node."""

    # durable streams, HTTP and gRPC
    streams_max: int = 100_000
    """Free-standing durable streams of a node."""
    stream_path_bytes_max: int = 480
    """Path of a durable stream; with a prefix it is the name of a log."""
    stream_append_bytes_max: int = 32 * MIB
    """One append over RPC; it is taken whole or not at all, so it has to fit the memory."""
    streams_page_max: int = 1_000
    """Streams in the answer to one list; more comes with the next."""
    stream_readers_max: int = 4_096
    """Durable streams being read over RPC at once, by all callers of a node; each holds a page and a ring."""
    http_connections_max: int = 1024
    """HTTP connections open at once; more are answered 503."""
    http_body_bytes_max: int = 32 * MIB
    """Body of one HTTP request; an append is taken whole or not at all, so it has to fit the memory."""
    http_bodies_bytes_max: int = 256 * MIB
    """Bodies of all requests together while they arrive, half of it for one token; one more is told to come again."""
    http_page_bytes: int = MIB
    """Content of one answer to a read; more comes with the next."""
    http_event_bytes: int = 64 * KIB
    """Content of one event of a live HTTP reader; what a slow reader can hold in memory."""
    http_long_poll_s: float = 20.0
    """How long a long poll waits for data."""
    http_sse_s: float = 60.0
    """Age at which a live event stream ends, so that its reader comes back and proves its rights again."""
    http_heartbeat_s: float = 15.0
    """A silent event stream shows that it lives this often."""
    http_root_bytes_max: int = 64 * MIB
    """All files below --http-root together; they are served from memory."""
    http_stall_s: float = 60.0
    """An HTTP connection whose peer takes nothing of what waits for it is cut after this long."""
    grpc_calls_max: int = 1_024
    """gRPC calls under way at once; more are answered RESOURCE_EXHAUSTED."""
    grpc_streams_max: int = 256
    """gRPC calls under way at once on one connection; more wait for one to end."""
    grpc_probes_max: int = 64
    """Of these, health watches and reflection streams, which need no token; more are answered RESOURCE_EXHAUSTED."""

    # groups: what is on the way between peers
    groups_max: int = 1_000
    """Groups a node takes part in."""
    group_content_bytes_max: int = MIB
    """Content of one message of a group."""
    group_id_bytes_max: int = 1 * KIB
    """Name of a group's channel, id of a participant or of a message."""
    group_hint_bytes_max: int = 4 * KIB
    """A retrieval hint."""
    group_entries_max: int = 2_000
    """History entries in one message, or its other fields: repair requests, and those of later versions."""
    group_channels_max: int = 10_000
    """Channels of one participant."""
    group_outgoing_max: int = 100_000
    """Messages of one participant in one channel that nobody has acknowledged; then none can be added."""
    group_outgoing_bytes_max: int = 64 * MIB
    """The same in bytes."""
    group_incoming_max: int = 10_000
    """Messages of one channel waiting for what they depend on; then others that would have to wait are refused."""
    group_incoming_bytes_max: int = 64 * MIB
    """The same in bytes."""
    group_missing_max: int = 20_000
    """Messages waited for in one channel; then a message that makes it more is refused."""
    group_peers_max: int = 1_000
    """Participants a channel keeps figures of; the one not heard for longest goes first."""
    group_clock_ahead_max: int = 2**36
    """How far a message's clock may be ahead of the time, in its ticks: 2 years of milliseconds, and more messages than
    anybody sends in a second-based clock.  Beyond, one hostile message would take all clocks to their end."""
    group_inbox_messages_max: int = 10_000
    """Messages of a group waiting to be read by a program; then packets are left alone until there is room."""
    group_wire_bytes_max: int = 2 * MIB
    """One message on the wire, with its filter and its causal history; larger ones are not put together."""
    group_datagram_bytes: int = 1400
    """Largest datagram sent; what passes every usual network without being cut into fragments."""
    group_parts_messages_max: int = 64
    """Unfinished messages that a transport puts together at once; the one waiting longest goes first."""
    group_parts_bytes_max: int = 8 * MIB
    """The same in bytes."""
    group_parts_s: float = 120.0
    """How long an unfinished message waits for another of its parts; a resent message fills the holes of the first."""
    group_salts_max: int = 1_024
    """Starts of participants that a transport with a key remembers; what was recorded of another may be taken again."""
    group_send_rate_bytes: int = 8 * MIB
    """Bytes a second a UDP transport sends, so that a repair does not become a flood."""
    group_send_burst_bytes: int = 64 * KIB
    """Bytes it sends at once after a pause; what fits a usual receive buffer."""
    group_send_queue_bytes_max: int = 4 * MIB
    """Bytes waiting for their turn; messages beyond are lost, as the network might have lost them."""

    # records
    record_bytes_max: int = 4 * MIB
    """Canonical form of one record or referrer."""
    record_meta_bytes_max: int = 100 * KIB
    """What is known of one record without reading it: its annotations above all."""
    record_item_bytes_max: int = 8 * MIB
    """One item of a stream of records: a record may be longer before it is made canonical."""
    record_batch_bytes_max: int = 9 * MIB
    """One batch of a stream of records, decompressed; what a node buffers of it before it looks."""
    record_batch_items_max: int = 4_096
    """Items of one batch."""
    record_stream_bytes_max: int = 16 * MIB
    """Requests of one stream that a node has read and not answered; beyond, it does not read."""
    record_streams_max: int = 64
    """Streams of records open on one connection."""
    record_concurrency_items: int = 1_024
    """Items a client's stream of records has taken whose results were not used yet, unless told otherwise."""
    record_concurrency_bytes: int = 8 * MIB
    """The same in bytes of items and answers; then it takes no more, and what comes out of order is asked for again."""
    record_answer_s: float = 60.0
    """A stream of records that gives a client no answer for so long, while some are due, counts as cut."""
    records_page_max: int = 1_000
    """Records, tags or changes in the answer to one question; more comes with the next."""
    records_page_bytes: int = 512 * KIB
    """The same in bytes."""
    referrers_per_record_max: int = 1_000
    """Referrers of one record."""
    seal_output_bytes_max: int = GIB
    """A job with more output is not sealed by itself when it ends, only when asked for; 0: none with output is."""
    record_grace_s: float = DAY_S
    """How long a record that nothing keeps is safe from collection after it was pushed."""
    feed_entries_max: int = 1_000_000
    """Changes of records kept for those who follow; the oldest go first."""
    artifact_bytes_max: int = GIB
    """One artifact; what is larger is better kept as several."""
    artifact_part_bytes_max: int = 512 * KIB
    """What of an artifact is uploaded or read with one request."""
    uploads_max: int = 64
    """Artifacts on their way in."""
    upload_retention_s: float = DAY_S
    """How long an upload waits for its next part."""

    # tokens
    token_bytes_max: int = 4 * KIB
    """Longest token looked at; the node's own have a few hundred bytes."""
    token_ttl_s_max: float = 366 * DAY_S
    """Longest a minted token can be good for."""
    tokens_max: int = 10_000
    """Minted tokens a node keeps record of, those that expired less than a week ago included."""
    connections_per_token_max: int = 64
    """Connections open with one token, so that its bearer cannot take all there are."""
    streams_per_token_max: int = 2_048
    """Streams open over all connections of one token: subscriptions, outputs, durable streams, uploads."""
    arriving_per_token_bytes_max: int = 128 * MIB
    """Appends that one token's bearers send as streams at once, over all its connections; each is held in memory."""
    http_readers_per_token_max: int = 512
    """Long polls and event streams under way with one token, or with logins that it was made for."""
    grpc_calls_per_token_max: int = 256
    """gRPC calls under way with one token, over all its connections; more are answered RESOURCE_EXHAUSTED."""
    grpc_bytes_per_token_max: int = 128 * MIB
    """Requests and answers that one token's gRPC calls hold; beyond, each call works on one request at a time."""
    login_link_s: float = 300.0
    """How long a login link waits for a browser; it is good once."""
    login_links_max: int = 1_000
    """Login links that wait at once."""
    login_s: float = DAY_S / 2
    """How long a browser stays logged in; never longer than its token is good."""
    logins_max: int = 1_000
    """Browsers logged in at once."""
    logins_per_token_max: int = 16
    """Browsers logged in with one token, and links that wait for one; one more ends the oldest."""
    audit_bytes_max: int = 8 * MIB
    """Size of the audit log; the one before it is kept too."""
    audit_denials_per_s_max: int = 100
    """Denials and logins written to the audit log in one second; more are counted."""

    # names and values
    name_length_max: int = 128
    """Characters in a name."""
    command_bytes_max: int = 512 * KIB
    """A job's command line and environment together."""
    request_bytes_max: int = 512 * KIB
    """A request's parameters; larger data goes in streams or in parts."""


def check_limits(limits: Limits) -> Limits:
    """``limits`` itself; AssertionError if two of them contradict each other."""
    assert limits.packet_bytes <= limits.packet_bytes_max
    assert limits.packet_bytes_max + 64 <= limits.frame_bytes_max
    assert limits.packet_bytes <= limits.window_bytes <= limits.ring_bytes
    assert limits.ping_interval_s * 2 < limits.stall_s < limits.give_up_s
    assert limits.handshake_frame_bytes_max <= limits.frame_bytes_max <= limits.control_queue_bytes_max
    assert limits.reconnect_first_s <= limits.reconnect_last_s
    assert limits.spill_segment_bytes <= limits.spill_bytes_max
    assert limits.request_bytes_max <= limits.frame_bytes_max
    assert limits.log_cache_bytes <= limits.engine_cache_bytes
    assert limits.append_bytes_max <= limits.engine_pending_bytes_max
    assert limits.merge_bytes <= limits.row_bytes <= limits.commit_bytes_max
    assert limits.channel_payload_bytes_max <= limits.channel_batch_bytes_max <= limits.append_bytes_max
    assert limits.stream_append_bytes_max <= limits.append_bytes_max
    assert limits.jobs_page_bytes * 3 // 2 <= limits.frame_bytes_max
    assert limits.channel_page_bytes * 3 // 2 <= limits.frame_bytes_max
    assert limits.group_wire_bytes_max <= limits.group_parts_bytes_max
    assert limits.group_datagram_bytes <= limits.group_send_burst_bytes <= limits.group_send_queue_bytes_max
    assert limits.http_body_bytes_max * 2 <= limits.http_bodies_bytes_max
    assert limits.channel_batch_bytes_max <= limits.arriving_per_token_bytes_max
    assert limits.stream_append_bytes_max <= limits.arriving_per_token_bytes_max
    assert limits.streams_per_token_max < limits.stream_readers_max
    assert limits.http_readers_per_token_max < limits.http_connections_max
    assert limits.grpc_calls_per_token_max + limits.grpc_probes_max < limits.grpc_calls_max
    assert limits.channel_rate_max > 0
    assert limits.record_bytes_max < limits.record_item_bytes_max
    assert limits.record_meta_bytes_max + KIB <= limits.blob_meta_bytes_max
    assert limits.record_item_bytes_max + KIB <= limits.record_batch_bytes_max <= limits.record_stream_bytes_max
    assert limits.artifact_part_bytes_max * 3 // 2 <= limits.frame_bytes_max
    assert limits.records_page_bytes * 3 // 2 <= limits.frame_bytes_max
    return limits


LIMITS = check_limits(Limits())
