"""The fields of a message, and which number each has in a dialect."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..model import Dialect

SENDER, ID, CHANNEL, LAMPORT, CAUSAL, BLOOM, REPAIRS, CONTENT = range(8)
NAMES: Final = (
    "sender_id",
    "message_id",
    "channel_id",
    "lamport_timestamp",
    "causal_history",
    "bloom_filter",
    "repair_request",
    "content",
)


class Layout(NamedTuple):
    """Which number each field has in a dialect, and the order in which it is written."""

    dialect: Dialect
    numbers: tuple[int, ...]
    """In the order of the constants above."""
    lamport_required: bool


SPEC: Final = Layout("spec", (1, 2, 3, 10, 11, 12, 13, 20), lamport_required=False)
NIM: Final = Layout("nim", (7, 1, 4, 2, 3, 6, 13, 5), lamport_required=True)
LAYOUTS: Final = {"spec": SPEC, "nim": NIM}
