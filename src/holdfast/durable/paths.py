"""Which paths can name a stream."""

from __future__ import annotations

from ..errors import UsageError
from ..limits import LIMITS


def check_path(path: str) -> str:
    """``path`` itself; UsageError if no stream can have it."""
    if not path or len(path.encode("utf-8", "replace")) > LIMITS.stream_path_bytes_max:
        raise UsageError(
            f"path: must have 1 to stream_path_bytes_max = {LIMITS.stream_path_bytes_max} bytes", field="path"
        )
    if not path.isprintable():
        raise UsageError(f"path: {path!r} holds a character that cannot be shown", field="path")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise UsageError(f"path: {path!r} has an empty segment, '.' or '..'", field="path")
    return path
