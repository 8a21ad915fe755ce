"""How a caller wants a stream of records to behave; shared by both clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypedDict, TypeVar

from ...errors import HoldfastError, UsageError
from ...ids import random_fraction
from ...limits import LIMITS
from ...records.streaming.breaker import CircuitBreaker
from ...records.streaming.core import StreamCore
from ...records.streaming.metrics import StreamMetrics
from ...records.streaming.options import StreamOptions
from ...records.streaming.policy import Retry
from .kinds import Kind

R = TypeVar("R")
OnProgress = Callable[[StreamMetrics], object]
PROGRESS_S = 0.1
"""Progress is told at most this often, and at the end."""


class RecordStreamOptions(TypedDict, total=False):
    """Options of the stream functions and their batch helpers."""

    ordered: bool
    """Results in the order of the inputs (the default), or as they come."""
    concurrency: int
    """Items taken from the input whose results you have not used yet, at most (``record_concurrency_items``).  Their
    bytes are bounded too (``record_concurrency_bytes``)."""
    retry: Retry | bool
    """Go on over cut links and restarted nodes, and try again an item that met a transient error.  True: :class:`Retry`
    with its defaults."""
    circuit_breaker: CircuitBreaker | None
    """Leaves a node alone that only fails.  Streams may share one."""
    compression: str
    """``zstd``: batches above half a kilobyte are compressed where that makes them smaller, if the node can too."""
    metrics: StreamMetrics | None
    """Counts what is done; read it at any time."""
    progress: OnProgress | None
    """Called with the metrics at most ten times a second, and at the end."""
    deadline_s: float | None
    """Seconds for all of it."""


def make_core(kind: Kind[R], options: RecordStreamOptions, now: float) -> StreamCore[R]:
    """The core of one stream.  UsageError naming the option that makes no sense."""
    unknown = options.keys() - RecordStreamOptions.__annotations__.keys()
    if unknown:
        raise UsageError(f"{min(unknown)} is not an option of a stream of records", field=min(unknown))
    concurrency = options.get("concurrency", LIMITS.record_concurrency_items)
    if concurrency < 1:
        raise UsageError(f"concurrency must be at least 1, not {concurrency}", field="concurrency")
    deadline_s = options.get("deadline_s")
    if deadline_s is not None and not deadline_s > 0:
        raise UsageError(f"deadline_s must be more than 0, not {deadline_s}", field="deadline_s")
    retry = options.get("retry", False)
    found = StreamOptions(
        ordered=options.get("ordered", True),
        items_max=concurrency,
        bytes_max=LIMITS.record_concurrency_bytes,
        retry=(Retry() if retry else None) if isinstance(retry, bool) else retry,
        breaker=options.get("circuit_breaker"),
        deadline_s=deadline_s,
        answer_s=LIMITS.record_answer_s,
    )
    return StreamCore(
        found, kind.failed, random=random_fraction, now=now, metrics=options.get("metrics"), settle=kind.settle
    )


def only_result(results: list[R]) -> R:
    """The result of a single item, whose error is raised."""
    (result,) = results
    error: HoldfastError | None = getattr(result, "error", None)
    if error is not None:
        raise error
    return result


def is_one(inputs: object) -> bool:
    """Whether it is one record or reference and not several."""
    return isinstance(inputs, str | bytes | bytearray | memoryview | Mapping) or hasattr(inputs, "cid")
