"""One group of a node: what is stored of it, what it talks over, and how it stands."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ...sync.groups import GroupInfo, GroupPeer, group_channel
from .network import address_of

if TYPE_CHECKING:
    from ...clock import Clock
    from ...sync.transports.base import Transport
    from .mirror import GroupMirror
    from .store import GroupRecord


class Member:
    """One group of this node."""

    def __init__(self, record: GroupRecord) -> None:
        self.record = record
        self.key = b""
        """Empty: what it sends is not sealed."""
        self.transport: Transport | None = None
        self.mirror: GroupMirror | None = None
        self.error = ""
        self.waiting = False
        """Its address was not to be had at the start: an interface may come up later."""
        self.lock = asyncio.Lock()
        """Held while it joins, leaves or is removed."""

    def info(self, clock: Clock) -> GroupInfo:
        """How it stands."""
        record, mirror = self.record, self.mirror
        info = GroupInfo(
            spec=record.spec,
            channel=group_channel(record.spec.name),
            created_at=record.created_at,
            error=self.error,
            sealed=bool(self.key),
        )
        if mirror is None:
            return replace(info, state="left" if record.left else "failed")
        failed = mirror.failure
        status = mirror.group.status()
        channel, counts, carried = status.channel, status.counts, status.transport
        offset_s = clock.wall() - clock.now()
        return replace(
            info,
            state="active" if failed is None else "failed",
            error="" if failed is None else str(failed) or type(failed).__name__,
            address=address_of(self.transport),
            sync=channel.state,
            lamport=channel.lamport,
            history=channel.history,
            outgoing=channel.outgoing,
            incoming=channel.incoming,
            missing=channel.missing,
            lost=channel.lost,
            sent=counts.sent,
            delivered=counts.delivered,
            duplicates=counts.duplicates,
            acknowledged=counts.acknowledged,
            repaired=counts.repaired,
            malformed=counts.malformed + carried.malformed,
            refused=counts.refused,
            unsaved=channel.unsaved,
            skipped=mirror.skipped,
            datagrams_sent=carried.datagrams_sent,
            datagrams_received=carried.datagrams_received,
            bytes_sent=carried.bytes_sent,
            bytes_received=carried.bytes_received,
            dropped=carried.dropped,
            namesake=counts.namesake,
            unverified=carried.unverified,
            peers=[
                GroupPeer(
                    name=peer.sender_id,
                    lamport=peer.lamport,
                    last_seen=peer.last_seen + offset_s,
                    behind=peer.unacknowledged,
                )
                for peer in channel.peers
            ],
        )
