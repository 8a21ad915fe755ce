"""What the commands under ``holdfast channel`` share: which channel is meant, and a connection to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ...errors import ChannelNotFound, HoldfastError, NotFound, PermissionDenied, UsageError
from ..common import Whole, reach_node

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ...channels.model import ChannelInfo
    from ...client.channels.sync import SyncChannel
    from ...client.sync import SyncNode

RECONNECT_S = 60.0
"""How long who appends or follows waits for a node that restarts."""


class ChannelName(click.ParamType[str]):
    """A channel; completes to those the node knows, and within a job to its own ones by their names alone."""

    name = "channel"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node; none if none runs."""
        from click.shell_completion import CompletionItem

        known, own = _known(), os.environ.get("HOLDFAST_JOB", "")
        found = {f"{process}/{info.name}": f"{info.state} {info.entries} entries" for process, info in known}
        found |= {info.name: "of this job" for _, info in known if info.process == own}
        return [CompletionItem(name, help=about) for name, about in found.items() if name.startswith(incomplete)]


class ProcessName(click.ParamType[str]):
    """A process that has channels; completes to those the node knows."""

    name = "process"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Candidates from the running node; none if none runs."""
        from click.shell_completion import CompletionItem

        found = dict.fromkeys(process for process, _ in _known())
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _known() -> list[tuple[str, ChannelInfo]]:
    """All channels, and how a user calls their processes: a job by its name if it has one."""
    try:
        with reach_node(autostart=False) as node:
            infos = node.channels.list()
            try:
                names = {job.id: job.name for job in node.jobs.list()}
            except PermissionDenied:
                names = {}
    except HoldfastError:
        return []
    return [(names.get(info.process) or info.process, info) for info in infos]


CHANNEL_NAME = ChannelName()
CHANNEL = click.argument("channel", metavar="CHANNEL", type=CHANNEL_NAME)
CHANNELS = click.argument("channels", metavar="CHANNEL...", nargs=-1, required=True, type=CHANNEL_NAME)
AFTER = Whole("the index of an entry, or 0 for before the first")
INDEX = Whole("the index of an entry", 1)
SEQUENCE = Whole("a sequence, or 0 for none")


@contextmanager
def opened(text: str, *, existing: bool = True, reconnect_s: float = 0.0) -> Iterator[SyncChannel]:
    """The channel that ``text`` means, and a connection as long as it is used.  Nothing is asked of the channel."""
    if "/" not in text:
        from ...client.sync_current import current_job_sync

        _check_in_job(text)
        with current_job_sync(reconnect_s=reconnect_s) as job:
            yield job.channel(text)
        return
    with reach_node(reconnect_s=reconnect_s) as node:
        yield node.channels.channel(resolve(node, text, existing=existing))


def _check_in_job(name: str) -> None:
    """UsageError unless a bare name means something: only a job has channels that need no process."""
    if not os.environ.get("HOLDFAST_JOB"):
        raise UsageError(
            f"channel: {name!r} is not PROCESS/NAME; NAME alone is for processes inside of a job, where HOLDFAST_JOB "
            "is set",
            field="channel",
        )


def resolve(node: SyncNode, text: str, *, existing: bool) -> str:
    """The channel's id.

    A process that is a job's name or id is that job; so is the beginning of an id, if no channel is called just so.
    With a token a channel that is called just so comes first: its bearer may have no business with jobs, and each
    question that is refused is a line in the audit log.
    """
    if existing and not node.connection().identity.startswith("local:"):
        try:
            return node.channels.get(text).id
        except PermissionDenied:
            return text
        except ChannelNotFound:
            pass
    process, _, name = text.partition("/")
    try:
        job = node.jobs.get(process)
    except (NotFound, PermissionDenied, UsageError):
        return text
    if process not in (job.id, job.name):
        if not existing:
            return text
        try:
            node.channels.get(text)
        except ChannelNotFound:
            pass
        else:
            return text
    return f"{job.id}/{name}"


def as_dict(model: Any) -> dict[str, Any]:
    """A model with all its fields as plain builtins, ready for JSON."""
    from dataclasses import asdict

    return asdict(model)
