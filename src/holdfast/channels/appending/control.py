"""Control messages: what they carry, which receipts they get, and questions that are answered once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ...errors import Conflict, LimitExceeded, UsageError
from ..model import NODE_SENDER, QuestionPolicy
from ..packing import Extras, encode_draft, encode_run
from ..state.record import Question

if TYPE_CHECKING:
    from ..state.channel import Bounds

_POLICIES = get_args(QuestionPolicy)
_STATES = ("applied", "refused")
_EXPIRES_S_MAX = 1e9


class Questions:
    """The open questions of one channel, while a batch is looked at.  ``changed`` if some came or went."""

    def __init__(self, questions: Sequence[Question], bounds: Bounds) -> None:
        self._open = {question.index: question for question in questions}
        self._max = bounds.questions_max
        self.changed = False

    def all(self) -> tuple[Question, ...]:
        """Those that are open, oldest first."""
        return tuple(self._open.values())

    def ask(self, index: int, sequence: int, sender: str, control: Mapping[str, Any], now: float) -> None:
        """A question at ``index``.  LimitExceeded for too many, UsageError for fields that make no sense."""
        if len(self._open) >= self._max:
            raise LimitExceeded(name="channel_questions_max", limit=self._max, value=len(self._open) + 1)
        policy = control.get("policy", "wait")
        if policy not in _POLICIES:
            raise UsageError(f"policy: {policy!r} is none of {', '.join(_POLICIES)}", field="control.policy")
        expires_s = control.get("expires_s", 0)
        if not _is_number(expires_s) or not 0 <= expires_s <= _EXPIRES_S_MAX:
            raise UsageError("expires_s: must be a number of seconds", field="control.expires_s")
        if policy != "wait" and not expires_s:
            raise UsageError(f"expires_s: policy {policy} needs one", field="control.expires_s")
        if policy == "default" and not isinstance(control.get("default"), str):
            raise UsageError("default: policy default needs a text", field="control.default")
        expires_at = now + expires_s if policy != "wait" else 0.0
        self._open[index] = Question(
            index=index, sequence=sequence, sender=sender, policy=policy, expires_at=expires_at
        )
        self.changed = True

    def answer(self, sender: str, reply: int, control: Mapping[str, Any]) -> None:
        """Take an answer to the question at ``control["of"]``, or to the open one with the sequence ``reply``.

        Conflict if it is not open: it was answered, it expired, or nobody asked it.
        """
        of = control.get("of")
        if of is None:
            asked = [q.index for q in self._open.values() if q.sequence == reply and q.sender != sender]
            of = asked[-1] if asked else 0
        if not isinstance(of, int) or self._open.pop(of, None) is None:
            raise Conflict(f"question {of} is not open: answered, expired, or never asked", "open", "not open")
        self.changed = True


def check_receipt(control: Mapping[str, Any], next_index: int, asks: Callable[[int], bool]) -> None:
    """UsageError unless it says what became of a control message there is.

    ``asks``: whether the entry at an index is one.
    """
    of, state = control.get("of"), control.get("state")
    if not isinstance(of, int) or isinstance(of, bool) or not 1 <= of < next_index:
        raise UsageError("of: must be the index of a control message", field="control.of")
    if not asks(of):
        raise UsageError(
            f"of: the entry at index {of} is no control message, so there is nothing to apply or to refuse",
            field="control.of",
        )
    if state not in _STATES:
        raise UsageError(f"state: {state!r} is none of {', '.join(_STATES)}", field="control.state")


def encode_receipts(accepted: Sequence[tuple[int, int]], first_index: int, first_sequence: int, now: float) -> bytes:
    """A run of receipts by the node: ``accepted`` are the index and the sequence of each control message."""
    drafts = [
        encode_draft(
            type="receipt",
            sequence=first_sequence + place,
            in_reply_to=sequence,
            extras=Extras(control={"of": index, "state": "accepted"}),
        )
        for place, (index, sequence) in enumerate(accepted)
    ]
    return encode_run(first_index, NODE_SENDER.encode(), now, b"".join(drafts), len(drafts), contiguous=True)


def encode_expiry(question: Question, default: str, index: int, sequence: int, now: float) -> bytes:
    """A run of the node's own answer to a question that nobody answered in time."""
    outcome = "default" if question.policy == "default" else "denied"
    draft = encode_draft(
        default.encode(),
        type="answer",
        sequence=sequence,
        in_reply_to=question.sequence,
        extras=Extras(control={"of": question.index, "outcome": outcome}),
    )
    return encode_run(index, NODE_SENDER.encode(), now, draft, 1, contiguous=True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
