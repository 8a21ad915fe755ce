"""What the node knows of its parts, as figures for Prometheus.  Labels take few values, whatever the node holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...engine.histogram import Histogram
from ...http.metrics import Distribution, Figure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...channels.router import ChannelRouter
    from ...engine.base import Engine
    from ...jobs.controller import JobController
    from ...records.domain import RecordDomain
    from ...rpc.aio.server import Server
    from ...security.authority import Authority
    from ...sessions.actor import Sessions
    from ..groups.groups import NodeGroups


def job_figures(jobs: JobController) -> Iterator[Figure]:
    """Jobs by state, their links to keepers, what they printed and what of it was lost, who watches."""
    infos = jobs.list()
    states = Counter(info.state for info in infos)
    links = Counter(info.link for info in infos if info.state != "done")
    yield Figure("holdfast_jobs", "Jobs by state.", ("state",), [((state,), n) for state, n in sorted(states.items())])
    text = "Links to the keepers of jobs that have not ended, by state."
    yield Figure("holdfast_job_links", text, ("state",), [((state,), n) for state, n in sorted(links.items())])
    totals = {
        "holdfast_job_output_bytes": ("Output of all jobs that the node has received.", "output_bytes"),
        "holdfast_job_gap_bytes": ("Output of all jobs that was lost before it reached the node.", "gap_bytes"),
        "holdfast_job_pending_bytes": (
            "Output that waits at keepers, in their rings and spill files, for the node to store it.",
            "pending_bytes",
        ),
        "holdfast_job_viewers": ("Open output streams over RPC.", "viewers"),
    }
    for name, (text, field) in totals.items():
        yield _single(name, text, sum(getattr(info, field) for info in infos))
    text = "Links made to keepers since the node started: one for each job, and one for each reconnect."
    yield _single("holdfast_job_links_made", text, jobs.links_made, counts=True)


def channel_figures(channels: ChannelRouter) -> Iterator[Figure]:
    """Channels by state, who reads them, and what became of appends."""
    stats = channels.stats()
    states = [(("open",), stats.open), (("closed",), stats.closed)]
    yield Figure("holdfast_channels", "Channels by state.", ("state",), [(labels, float(n)) for labels, n in states])
    yield _single("holdfast_channel_subscribers", "Subscribers of channels, those over HTTP too.", stats.subscribers)
    counted = {
        "appended": stats.entries_appended,
        "repeated": stats.entries_repeated,
        "refused": stats.entries_refused,
        "rate_limited": stats.rate_limited,
    }
    text = "Entries given to channels, by what became of them."
    yield Figure("holdfast_channel_entries", text, ("outcome",), [((key,), n) for key, n in counted.items()], True)
    text = "Subscribers let go because they fell behind."
    yield _single("holdfast_channel_subscribers_too_slow", text, stats.subscribers_too_slow, counts=True)


def session_figures(sessions: Sessions) -> Iterator[Figure]:
    """Sessions, what they are bound to, and what became of their messages."""
    stats = sessions.stats()
    states = [(("attached",), stats.attached), (("detached",), stats.sessions - stats.attached)]
    yield Figure("holdfast_sessions", "Sessions by state.", ("state",), [(labels, float(n)) for labels, n in states])
    yield _single("holdfast_providers", "Providers.", stats.providers)
    yield _single("holdfast_session_feeds", "Patterns followed for sessions.", stats.feeds)
    counted = {"delivered": stats.delivered, "lost": stats.lost}
    text = "Messages of sessions, by what became of them; lost: dropped or conflated while they waited."
    yield Figure("holdfast_session_messages", text, ("outcome",), [((key,), n) for key, n in counted.items()], True)
    yield _single("holdfast_sessions_reaped", "Sessions that were idle for too long.", stats.reaped, counts=True)


def record_figures(records: RecordDomain) -> Iterator[Figure]:
    """Streams of records, what became of their items, and how much hangs on records."""
    counts, store = records.store.counts, records.store
    yield _single("holdfast_record_streams", "Streams of records open now.", counts.streams)
    yield _single("holdfast_record_tags", "Tags of records.", len(store.tags))
    yield _single("holdfast_record_referrers", "Referrers attached to records.", len(store.referrers))
    yield _single("holdfast_artifacts", "Artifacts.", len(records.artifacts))
    text = "The newest change in the feed of records."
    yield _single("holdfast_record_feed_position", text, store.feed.next_position - 1)
    counted = {
        "pushed": counts.pushed,
        "repeated": counts.repeated,
        "pulled": counts.pulled,
        "looked_up": counts.looked_up,
        "deleted": counts.deleted,
        "failed": counts.failed,
    }
    text = "Records asked for or given, by what became of them."
    yield Figure("holdfast_record_items", text, ("outcome",), [((key,), n) for key, n in counted.items()], True)


def group_figures(groups: NodeGroups) -> Iterator[Figure]:
    """Groups by state, what is waited for in all of them, and what became of their messages."""
    infos = groups.infos()
    states = Counter(info.state for info in infos)
    yield Figure(
        "holdfast_groups", "Groups by state.", ("state",), [((state,), n) for state, n in sorted(states.items())]
    )
    waiting = {name: sum(getattr(info, name) for info in infos) for name in ("outgoing", "incoming", "missing")}
    text = "Messages of groups: sent and acknowledged by nobody, waiting for others, waited for."
    yield Figure("holdfast_group_waiting", text, ("what",), [((key,), float(n)) for key, n in waiting.items()])
    outcomes = (
        "sent",
        "delivered",
        "duplicates",
        "acknowledged",
        "repaired",
        "lost",
        "malformed",
        "refused",
        "dropped",
        "skipped",
        "namesake",
        "unverified",
    )
    text = "Messages of the groups that the node takes part in now, by what became of them."
    counted = [((name,), float(sum(getattr(info, name) for info in infos))) for name in outcomes]
    yield Figure("holdfast_group_messages", text, ("outcome",), counted)


def rpc_figures(servers: Iterable[Server]) -> Iterator[Figure]:
    """Connections, and how full the windows and rings of their outgoing streams are."""
    connections = [connection for server in servers for connection in server.connections]
    senders = [sender for connection in connections for sender in connection.core.broker.senders()]
    gauges: dict[str, tuple[str, float]] = {
        "holdfast_rpc_connections": ("Open RPC connections.", len(connections)),
        "holdfast_rpc_streams": ("Streams being sent over RPC.", len(senders)),
        "holdfast_rpc_window_used_bytes": (
            "Bytes on their way to RPC readers, not acknowledged yet.",
            sum(sender.outstanding for sender in senders),
        ),
        "holdfast_rpc_window_free_bytes": (
            "Bytes that RPC readers could be sent at once beyond that.",
            sum(sender.credit for sender in senders),
        ),
        "holdfast_rpc_ring_bytes": (
            "Bytes kept in memory for RPC readers, those on their way included.",
            sum(max(0, sender.buffer.total - sender.acknowledged) for sender in senders),
        ),
    }
    for name, (text, value) in gauges.items():
        yield _single(name, text, value)
    text = "RPC connections made since the node started, reconnects of clients among them."
    yield _single("holdfast_rpc_connections_made", text, sum(server.accepted for server in servers), counts=True)


def engine_figures(engine: Engine) -> Iterator[Distribution]:
    """How long commits take; an engine without a store has none."""
    taken = getattr(engine, "commit_s", None)
    if isinstance(taken, Histogram):
        text = "How long commits took to be on disk; an append waits for one at least, and at most for two."
        yield Distribution("holdfast_commit_seconds", text, taken.cumulated(), taken.sum)


def login_figures(authority: Authority) -> Iterator[Figure]:
    """Browsers that are logged in."""
    yield _single("holdfast_logins", "Browsers logged in.", len(authority.logins))


def _single(name: str, text: str, value: float, *, counts: bool = False) -> Figure:
    return Figure(name, text, (), [((), value)], counts)
