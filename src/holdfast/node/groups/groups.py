"""The groups a node takes part in: :class:`~holdfast.sync.api.GroupsApi` over the engine and the channels."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from ...channels.access import Owner
from ...errors import (
    AlreadyExists,
    ChannelNotFound,
    ClosedError,
    HoldfastError,
    LimitExceeded,
    NotFound,
    StorageError,
    Unavailable,
    UsageError,
)
from ...ids import new_token
from ...subjects import word_of
from ...sync.groups import (
    GROUPS_PROCESS,
    GroupInfo,
    GroupSent,
    GroupSnapshot,
    GroupSpec,
    LoggedMessage,
    group_channel,
)
from .member import Member
from .network import address_of, check_spec, udp_of
from .store import GroupRecord, GroupStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...channels.router import ChannelRouter
    from ...clock import Clock
    from ...engine.base import Engine
    from ...limits import Limits
    from ...sync.persistence.base import Persistence
    from ...sync.transports.base import Transport
    from .mirror import GroupMirror

_logger = structlog.get_logger("holdfast.groups")

_ADDRESS_FIRST_S = 1.0
_ADDRESS_LAST_S = 30.0
"""Between tries to listen at an address that was not to be had at the start."""
Infos = list[GroupInfo]
"""By a name of its own: inside the class ``list`` is a command."""


class NodeGroups:
    """All groups of one node.  Each public method that is a command says in :class:`GroupsApi` what it does."""

    def __init__(self, engine: Engine, router: ChannelRouter, *, clock: Clock, limits: Limits) -> None:
        self._engine = engine
        self._router = router
        self._clock = clock
        self._limits = limits
        self._store = GroupStore(engine.kv)
        self._members: dict[str, Member] = {}
        self._waiting: asyncio.Task[None] | None = None
        self._node = Owner("node")

    # life

    async def open(self) -> None:
        """Take part in all groups again that were not left.

        One that cannot be says why in its status; if its address is not to be had yet, it is tried again.
        """
        for record in await self._store.load_all():
            member = self._members[record.spec.name] = Member(record)
            member.key = await self._store.load_key(record.spec.name)
            if not record.left:
                try:
                    await self._join(member)
                except HoldfastError as error:
                    member.error = str(error)
                    member.waiting = isinstance(error, Unavailable)
                    _logger.error("group.not_joined", group=record.spec.name, error=str(error))
        if any(member.waiting for member in self._members.values()):
            self._waiting = asyncio.create_task(self._wait_for_addresses(), name="groups-waiting")

    async def close(self) -> None:
        """Take no part any more, until the next start."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
        await asyncio.gather(*(self._stop(member) for member in self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    def infos(self) -> Infos:
        """How all groups stand, by name."""
        return [member.info(self._clock) for _, member in sorted(self._members.items())]

    async def _wait_for_addresses(self) -> None:
        delay_s = _ADDRESS_FIRST_S
        while waiting := [member for member in self._members.values() if member.waiting]:
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _ADDRESS_LAST_S)
            for member in waiting:
                async with member.lock:
                    await self._try_again(member)

    async def _try_again(self, member: Member) -> None:
        if member.mirror is not None or member.record.left or self._members.get(member.record.spec.name) is not member:
            member.waiting = False
            return
        try:
            await self._join(member)
        except HoldfastError as error:
            member.error, member.waiting = str(error), isinstance(error, Unavailable)
        else:
            member.waiting = False
            _logger.info("group.joined", group=member.record.spec.name)

    # commands

    async def create(self, spec: GroupSpec, key: bytes = b"") -> GroupInfo:
        """See :meth:`GroupsApi.create`."""
        check_spec(spec, self._limits, key)
        if spec.name in self._members:
            raise AlreadyExists(kind="group", name=spec.name, holder=self._members[spec.name].record.spec.me)
        if len(self._members) >= self._limits.groups_max:
            raise LimitExceeded(name="groups_max", limit=self._limits.groups_max, value=len(self._members) + 1)
        member = self._members[spec.name] = Member(GroupRecord(spec=spec, created_at=self._clock.wall()))
        member.key = key
        last_index = None
        async with member.lock:
            try:
                last_index = await self._last_index(spec.name)
                await self._make_channel(spec)
                # What was in the channel before is not the group's.
                member.record = member.record.changed(sent_index=last_index or 0)
                if key:
                    await self._store.save_key(spec.name, key)
                await self._store.create(member.record)
                await self._join(member)
                await self._keep_address(member)
            except BaseException:
                del self._members[spec.name]
                await self._store.forget(spec.name)
                if last_index is None:
                    await self._remove_channel(spec.name)
                raise
        _logger.info("group.created", group=spec.name, me=spec.me)
        return member.info(self._clock)

    async def join(self, name: str) -> GroupInfo:
        """See :meth:`GroupsApi.join`."""
        async with self._held(name) as member:
            if member.mirror is not None and member.mirror.failure is not None:
                await self._stop(member)
            if member.mirror is None:
                if await self._last_index(name) is None:
                    await self._make_channel(member.record.spec)
                    await self._change(member, sent_index=0)  # the place reached was one of the channel that is gone
                await self._join(member)
                await self._change(member, left=False)
            return member.info(self._clock)

    async def leave(self, name: str) -> GroupInfo:
        """See :meth:`GroupsApi.leave`."""
        async with self._held(name) as member:
            await self._change(member, left=True)
            await self._stop(member)
            return member.info(self._clock)

    async def set_peers(self, name: str, peers: list[str]) -> GroupInfo:
        """See :meth:`GroupsApi.set_peers`."""
        async with self._held(name) as member:
            spec = member.record.spec
            if not spec.listen:
                raise UsageError(f"peers: group {name} is not one of listed peers", field="peers")
            check_spec(replace(spec, peers=peers), self._limits)
            await self._change(member, spec=replace(spec, peers=peers))
            if member.transport is not None:
                member.transport.set_peers(peers)  # type: ignore[attr-defined]  # who listens is a Udp
            return member.info(self._clock)

    async def set_key(self, name: str, key: bytes = b"") -> GroupInfo:
        """See :meth:`GroupsApi.set_key`."""
        async with self._held(name) as member:
            check_spec(member.record.spec, self._limits, key)
            await self._store.save_key(name, key)
            member.key = key
            if member.transport is not None and not member.record.spec.bus:
                member.transport.set_key(key or None)  # type: ignore[attr-defined]  # what is no bus is a Udp
            return member.info(self._clock)

    async def send(self, name: str, content: bytes, ephemeral: bool = False, message_id: str = "") -> GroupSent:
        """See :meth:`GroupsApi.send`."""
        mirror = self._active(name)
        if ephemeral:
            mirror.group.send_ephemeral(content)
            return GroupSent(id="")
        message_id = message_id or new_token(16)
        return GroupSent(id=message_id, index=await mirror.send(message_id, content))

    def check_active(self, name: str) -> None:
        """NotFound; ClosedError for a group that was left."""
        self._active(name)

    async def status(self, name: str) -> GroupInfo:
        """See :meth:`GroupsApi.status`."""
        return self._find(name).info(self._clock)

    async def list(self) -> list[GroupInfo]:
        """See :meth:`GroupsApi.list`."""
        return self.infos()

    async def snapshot(self, name: str, limit: int = 100) -> GroupSnapshot:
        """See :meth:`GroupsApi.snapshot`."""
        if limit < 0:
            raise UsageError(f"limit: {limit} is negative", field="limit")
        group = self._active(name).group
        log = group.log()
        return GroupSnapshot(
            name=name,
            lamport=group.status().channel.lamport,
            log=[
                LoggedMessage(
                    id=one.message_id, sender=one.sender_id, lamport=one.lamport or 0, content_bytes=len(one.content)
                )
                for one in log[max(0, len(log) - limit) :]
            ],
            missing=[entry.message_id for entry in group.missing()],
        )

    async def remove(self, name: str, keep_channel: bool = False) -> None:
        """See :meth:`GroupsApi.remove`."""
        async with self._held(name) as member:
            await self._stop(member)
            error = await self._persistence(member.record.spec).drop_channel(name)
            if error is not None:
                raise StorageError(f"group {name}: its state cannot be removed: {error}")
            await self._store.forget(name)
            if not keep_channel:
                await self._remove_channel(name)
            del self._members[name]
        _logger.info("group.removed", group=name)

    # parts

    def _find(self, name: str) -> Member:
        member = self._members.get(name)
        if member is None:
            raise NotFound(kind="group", name=name)
        return member

    @asynccontextmanager
    async def _held(self, name: str) -> AsyncIterator[Member]:
        """The group, with nobody else changing it."""
        member = self._find(name)
        async with member.lock:
            if self._members.get(name) is not member:
                raise NotFound(kind="group", name=name)
            yield member

    def _active(self, name: str) -> GroupMirror:
        mirror = self._find(name).mirror
        if mirror is None:
            raise ClosedError(f"group {name} takes no part now; join it first")
        return mirror

    async def _change(self, member: Member, **fields: object) -> None:
        member.record = member.record.changed(**fields)
        await self._store.save(member.record)

    async def _join(self, member: Member) -> None:
        from ...sync.group import Group  # the protocol is not loaded by a node without groups
        from .mirror import GroupMirror

        spec = member.record.spec
        transport = self._transport(spec, member.key)
        group = Group(
            spec.name,
            me=spec.me,
            transport=transport,
            persistence=self._persistence(spec),
            profile=spec.profile,
            dialect=spec.dialect,
            clock=self._clock,
            limits=self._limits,
        )

        async def save_index(index: int) -> None:
            await self._change(member, sent_index=index)

        channel = await self._router.get(self._node, group_channel(spec.name))
        mirror = GroupMirror(
            group,
            member.record,
            self._router,
            self._engine.log,
            channel_made_at=channel.created_at,
            save_index=save_index,
        )
        try:
            await mirror.open()
        except OSError as error:
            if isinstance(error, HoldfastError):
                raise
            where = spec.multicast or spec.listen
            raise Unavailable(f"{where}: {error.strerror or error}", where) from error
        member.transport, member.mirror, member.error = transport, mirror, ""

    async def _keep_address(self, member: Member) -> None:
        """The free port that was found is the group's from now on: the others were told of it."""
        listen = address_of(member.transport)
        if listen and listen != member.record.spec.listen and member.record.spec.listen:
            await self._change(member, spec=replace(member.record.spec, listen=listen))

    async def _stop(self, member: Member) -> None:
        mirror, member.mirror, member.transport = member.mirror, None, None
        if mirror is not None:
            await mirror.close()

    def _transport(self, spec: GroupSpec, key: bytes) -> Transport:
        if spec.bus:
            from ...sync.transports.bus import BusTransport

            return BusTransport(self._engine.bus, f"groups.{word_of(spec.name)}", limits=self._limits)
        return udp_of(spec, self._limits, key)

    def _persistence(self, spec: GroupSpec) -> Persistence:
        from ...sync.persistence.engine import EnginePersistence

        return EnginePersistence(self._engine, spec.name)

    async def _make_channel(self, spec: GroupSpec) -> None:
        await self._router.create(
            self._node, GROUPS_PROCESS, spec.name, submitter=spec.me, retain=True, missing_ok=True
        )

    async def _last_index(self, name: str) -> int | None:
        """Of the group's channel; None: there is no such channel."""
        try:
            return (await self._router.get(self._node, group_channel(name))).last_index
        except ChannelNotFound:
            return None

    async def _remove_channel(self, name: str) -> None:
        try:
            await self._router.remove(self._node, group_channel(name), "its group was removed")
        except ChannelNotFound:
            pass
