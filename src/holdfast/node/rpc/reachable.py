"""Staying where the owner looks for the node, though its socket be taken away."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import structlog

from ...errors import HoldfastError
from ...paths import make_private_dir

if TYPE_CHECKING:
    from ...rpc.aio.server import Server

_logger = structlog.get_logger("holdfast.node")


async def stay_reachable(server: Server, interval_s: float) -> None:
    """Look every ``interval_s`` seconds whether the unix socket is there still; make it anew if not.  For ever.

    A logout takes all of /run/user/UID away, and who tidies /tmp takes sockets for rubbish.  A node that runs and
    cannot be reached would keep another from starting, too.
    """
    told = ""
    while True:
        await asyncio.sleep(interval_s)
        if not server.lost:
            continue
        try:
            make_private_dir(os.path.dirname(server.address))
            await server.renew()
        except HoldfastError as error:
            if told != str(error):
                told = str(error)
                _logger.error("node.socket_lost", url=server.address, error=told)
        else:
            told = ""
            _logger.warning("node.socket_made_anew", url=server.address)


async def end_looking(task: asyncio.Task[None]) -> None:
    """End the task that looks."""
    task.cancel()
    await asyncio.wait([task])
