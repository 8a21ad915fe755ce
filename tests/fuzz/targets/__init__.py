"""What reads bytes and words from elsewhere, for ``fuzz.py``: from peers, clients, files, and people.

Whatever the bytes are: no exception leaves the core but the one that says so, nothing is held beyond the limits, what
is over stays over, and what was understood says the same when it is written again.  The first byte often chooses how
the rest is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable

from . import entries, files, groups, links, messages, records, stored, words

TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": links.check_frames,
    "handshake": links.check_handshake,
    "connection": links.check_connection,
    "token": links.check_token,
    "batches": entries.check_batches,
    "runs": entries.check_runs,
    "messages": messages.check_messages,
    "bodies": messages.check_bodies,
    "datagrams": groups.check_datagrams,
    "sealed": groups.check_sealed,
    "groups": groups.check_groups,
    "snapshots": groups.check_snapshots,
    "records": records.check_records,
    "lines": records.check_lines,
    "rows": stored.check_rows,
    "nats": stored.check_nats,
    "certificate": files.check_certificate,
    "spill": files.check_spill,
    "words": words.check_words,
}
