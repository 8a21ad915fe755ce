"""The distributed engine: logs, keys, blobs and the bus on NATS JetStream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UsageError
from ...limits import LIMITS, Limits
from .options import NatsOptions

if TYPE_CHECKING:
    from .engine import NatsEngine


def open_nats(options: NatsOptions, *, max_bytes: int | None = None, limits: Limits = LIMITS) -> NatsEngine:
    """An engine on the servers of ``options``, not started yet.  UsageError if nats-py is not installed."""
    try:
        from .engine import NatsEngine
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "nats":
            raise
        raise UsageError("engine: nats needs nats-py: pip install 'holdfast[nats]'", field="engine") from None
    return NatsEngine(options, max_bytes=max_bytes, limits=limits)
