"""Sizes, rates and times as people write them: ``64KiB``, ``100MB``, ``100MBps``, ``10ms``."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import UsageError

_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "m": 1000**2,
    "mb": 1000**2,
    "g": 1000**3,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_TIME_UNITS = {"": 1.0, "s": 1.0, "us": 1e-6, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_size(text: str, field: str = "size") -> int:
    """Bytes in ``text``, such as ``1500``, ``64KiB``, ``100MB`` or ``1.5GiB``; UsageError naming ``field`` if none."""
    size = _quantity(text, _SIZE_UNITS)
    if size is None:
        raise UsageError(f"{field}: {text!r} is not a size such as 1500, 64KiB, 100MB or 1GiB", field=field)
    return int(size)


def parse_rate(text: str, field: str = "rate") -> float:
    """Bytes per second in ``text``, such as ``100MBps`` or ``5MiB/s``; UsageError naming ``field`` if none."""
    bare = text.strip()
    for suffix in ("/s", "ps"):
        bare = bare.removesuffix(suffix)
    try:
        return float(parse_size(bare, field))
    except UsageError:
        raise UsageError(f"{field}: {text!r} is not a rate such as 100MBps, 5MiB/s or 65536", field=field) from None


def parse_duration(text: str, field: str = "duration") -> float:
    """Seconds in ``text``, such as ``0``, ``1.5``, ``10ms`` or ``2s``; UsageError naming ``field`` if none."""
    seconds = _quantity(text, _TIME_UNITS)
    if seconds is None:
        raise UsageError(f"{field}: {text!r} is not a time such as 10ms, 1.5s or 2m", field=field)
    return seconds


def format_size(size: float) -> str:
    """``size`` bytes for people, in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


def _quantity(text: str, units: Mapping[str, float]) -> float | None:
    """The number in ``text`` times its unit; None if there is none, or if it is below 0 or beyond all bounds."""
    text = text.strip()
    digits = len(text)
    while digits and text[digits - 1].isalpha():
        digits -= 1
    try:
        quantity = float(text[:digits]) * units[text[digits:].lower()]
    except (ValueError, KeyError):
        return None
    return quantity if 0 <= quantity < float("inf") else None
