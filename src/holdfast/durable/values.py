"""What callers may give a stream beside its content; whatever is stored must be fit for a header, too."""

from __future__ import annotations

import re

from ..errors import UsageError

_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(;[ \t -~\x80-\xff]*)?")
_INTEGER_MAX = 2**53 - 1
_MOMENT_MAX_S = 253_402_300_799.0
"""The end of the year 9999, the last that an RFC 3339 time can say."""


def check_content_type(text: str, field: str = "content_type") -> str | None:
    """``text`` without blanks around it, None if there is none; UsageError if it is no media type."""
    text = text.strip()
    if text and not _TYPE.fullmatch(text):
        raise UsageError(f"{field}: {text!r} is not a media type", field=field)
    return text or None


def check_lifetime(ttl_s: int | None, expires_at_s: float | None) -> None:
    """UsageError for lifetimes that cannot be, and for both at once."""
    if ttl_s is not None and expires_at_s is not None:
        raise UsageError("ttl_s and expires_at_s: one of them at most", field="ttl_s")
    if ttl_s is not None and not 0 <= ttl_s <= _INTEGER_MAX:
        raise UsageError(f"ttl_s: {ttl_s} is not a number of seconds from 0 to 2^53 - 1", field="ttl_s")
    if expires_at_s is not None and not 0 <= expires_at_s <= _MOMENT_MAX_S:
        raise UsageError(f"expires_at_s: {expires_at_s} is not a Unix time up to the year 9999", field="expires_at_s")
