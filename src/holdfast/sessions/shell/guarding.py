"""Work of others (providers, the store) that may fail in any way, and what to make of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from ...errors import HoldfastError, InternalError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ..providers.base import Provider

_logger = structlog.get_logger("holdfast.sessions")


async def outcome(work: Coroutine[Any, Any, None], what: str) -> HoldfastError | None:
    """Why ``work`` failed; None: it did not."""
    try:
        await work
    except HoldfastError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a provider may be anybody's
        return foreign(error, what)
    return None


def foreign(error: Exception, what: str) -> HoldfastError:
    """``error``, which is none of ours, as one that is; it is in the log as it came."""
    _logger.warning("sessions.provider_failed", what=what, exc_info=error)
    return InternalError(f"{what}: {type(error).__name__}: {error}")


async def forgotten(provider: Provider, name: str) -> None:
    """Have a provider that was removed let go of what it keeps for its next start, if it knows how to."""
    forget = getattr(provider, "forget", None)
    if forget is not None:
        await quietly(forget(), "provider", name)


async def quietly(work: Coroutine[Any, Any, None], kind: str, name: str) -> None:
    """Await ``work``, which closes something; that it failed is in the log."""
    error = await outcome(work, f"{kind} {name}")
    if error is not None:
        _logger.warning("sessions.not_closed", kind=kind, name=name, error=str(error))
