"""What the commands under ``holdfast channel`` share: which channel is meant, and a connection to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..errors import ChannelNotFound, NotFound, PermissionDenied, UsageError
from .common import Whole, reach_node

if TYPE_CHECKING:
    from ..client.sync import SyncNode
    from ..client.sync_channels import SyncChannel

RECONNECT_S = 60.0
"""How long who appends or follows waits for a node that restarts."""

CHANNEL = click.argument("channel", metavar="CHANNEL")
AFTER = Whole("the index of an entry, or 0 for before the first")
INDEX = Whole("the index of an entry", 1)
SEQUENCE = Whole("a sequence, or 0 for none")


@contextmanager
def opened(text: str, *, existing: bool = True, reconnect_s: float = 0.0) -> Iterator[SyncChannel]:
    """The channel that ``text`` means, and a connection as long as it is used.  Nothing is asked of the channel."""
    if "/" not in text:
        from ..client.sync_current import current_job_sync

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
    """
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
