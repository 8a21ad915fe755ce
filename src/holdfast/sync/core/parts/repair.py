"""Repair (SDS-R): asking the group for what is missing, and answering, without everybody doing it at once."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from ...model import HistoryEntry
from ...profiles import Profile
from .deadlines import Deadlines

_WINDOW_GRACE_S = 0.001
_STRETCH_MAX = 8
"""How far a measured round trip may stretch T_max: beyond, something else is slow."""


def hash_of(text: str) -> int:
    """The first 8 bytes of the text's SHA-256, big-endian."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


_hash_known = lru_cache(maxsize=4_096)(hash_of)
"""For participants and messages: of one that was asked for, others ask too."""


def request_wait_ms(participant_id: str, message_id: str, min_ms: int, max_ms: int) -> int:
    """T_req: how long this participant waits before it asks for the message."""
    return hash_of(participant_id + message_id) % max(1, max_ms - min_ms) + min_ms


def response_wait_ms(participant_id: str, sender_id: str, message_id: str, max_ms: int) -> int:
    """T_resp: how long it waits before it answers; the message's own sender does not wait at all."""
    distance = _hash_known(participant_id) ^ _hash_known(sender_id)
    return distance * _hash_known(message_id) % max(1, max_ms)


def in_response_group(participant_id: str, sender_id: str, message_id: str, groups: int) -> bool:
    """Whether it is among those who answer requests for the sender's message."""
    if groups <= 1:
        return True
    return hash_of(participant_id + message_id) % groups == hash_of(sender_id + message_id) % groups


class Request:
    """A message to ask for."""

    __slots__ = ("attempts", "entry", "piece", "since")

    def __init__(self, entry: HistoryEntry, since: float, attempts: int = 0) -> None:
        self.entry = entry
        self.since = since
        self.attempts = attempts
        """How often we asked, or heard somebody else ask."""
        self.piece = b""


class Response:
    """A message that was asked for."""

    __slots__ = ("entry", "piece")

    def __init__(self, entry: HistoryEntry) -> None:
        self.entry = entry
        self.piece = b""


class Repair:
    """Both buffers of one channel."""

    __slots__ = (
        "_id",
        "_profile",
        "overflowed",
        "requests",
        "requests_due",
        "responses",
        "responses_due",
        "round_trip_s",
    )

    def __init__(self, participant_id: str, profile: Profile) -> None:
        self._id = participant_id
        self._profile = profile
        self.round_trip_s = 0.0
        """As measured; 0.0: unknown, or short."""
        self.requests: dict[str, Request] = {}
        self.responses: dict[str, Response] = {}
        self.requests_due = Deadlines()
        self.responses_due = Deadlines()
        self.overflowed = False
        """A request did not fit; ask for what is missing again when there is room."""

    # asking

    def want(self, entry: HistoryEntry, now: float) -> bool:
        """Ask for a message after its back-off; whether that is new."""
        message_id = entry.message_id
        if not self._id or message_id in self.requests:
            return False
        if len(self.requests) >= self._profile.repair_buffer:
            self.overflowed = True
            return False
        self.restore_request(Request(entry, now), now + self._request_wait_s(message_id))
        return True

    def restore_request(self, request: Request, due: float) -> None:
        """Ask at ``due``."""
        self.requests[request.entry.message_id] = request
        self.requests_due.set(request.entry.message_id, due)

    @property
    def max_s(self) -> float:
        """T_max: the profile's, or the round trip if that is longer.

        Within less nobody could hear that somebody else asked, or answered, and all would.
        """
        least = self._profile.repair_max_s
        return least if self.round_trip_s <= least else min(self.round_trip_s, _STRETCH_MAX * least)

    def _request_wait_s(self, message_id: str) -> float:
        low, high = round(self._profile.repair_min_s * 1000), round(self.max_s * 1000)
        return request_wait_ms(self._id, message_id, low, high) / 1000

    def take_requests(self, now: float, count: int) -> tuple[list[HistoryEntry], list[str]]:
        """At most ``count`` requests that are due, most overdue first, and the ids that are not asked for any more."""
        taken: list[HistoryEntry] = []
        over: list[str] = []
        while len(taken) < count and (message_id := self.requests_due.take(now)) is not None:
            request = self.requests[message_id]
            if now - request.since > self._profile.repair_window_s:
                del self.requests[message_id]
                over.append(message_id)
            else:
                taken.append(request.entry)
                self._again(request, now)
        return taken, over

    def heard(self, message_id: str, now: float) -> bool:
        """Somebody else asks for it: we do not for now; whether we were going to."""
        request = self.requests.get(message_id)
        if request is None:
            return False
        self._again(request, now)
        return True

    def _again(self, request: Request, now: float) -> None:
        message_id = request.entry.message_id
        if not self._profile.repair_again_s:
            # Once and no more; it is only kept to know when its window is over.
            self.requests_due.set(message_id, request.since + self._profile.repair_window_s + _WINDOW_GRACE_S)
            request.piece = b""
            return
        wait = max(self._profile.repair_again_s * 2 ** min(request.attempts, 3), self.round_trip_s)
        wait += self._request_wait_s(message_id)
        request.attempts += 1
        request.piece = b""
        self.requests_due.set(message_id, now + wait)

    # answering

    def asked(self, entry: HistoryEntry, now: float) -> bool:
        """Somebody asks for a message we have; whether we are going to answer.  ``entry`` names its sender."""
        message_id, sender_id = entry.message_id, entry.sender_id
        if not self._id or not sender_id or message_id in self.responses:
            return False
        profile = self._profile
        if len(self.responses) >= profile.repair_buffer:
            return False
        if not in_response_group(self._id, sender_id, message_id, profile.repair_groups):
            return False
        wait_ms = response_wait_ms(self._id, sender_id, message_id, round(self.max_s * 1000))
        self.restore_response(Response(entry), now + wait_ms / 1000)
        return True

    def restore_response(self, response: Response, due: float) -> None:
        """Answer at ``due``."""
        self.responses[response.entry.message_id] = response
        self.responses_due.set(response.entry.message_id, due)

    def take_responses(self, now: float) -> list[str]:
        """The messages to send now."""
        taken = []
        while (message_id := self.responses_due.take(now)) is not None:
            del self.responses[message_id]
            taken.append(message_id)
        return taken

    # both

    def arrived(self, message_id: str) -> bool:
        """The message was received: neither ask nor answer; whether that changed anything."""
        asked = self.requests.pop(message_id, None)
        answered = self.responses.pop(message_id, None)
        if asked is not None:
            self.requests_due.cancel(message_id)
        if answered is not None:
            self.responses_due.cancel(message_id)
        return asked is not None or answered is not None
