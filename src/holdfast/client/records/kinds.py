"""What the four streams of records carry: how an input becomes an item's body, and an answer its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from ...errors import CorruptionError, HoldfastError, LimitExceeded, NotFound, ProtocolError, UsageError
from ...limits import LIMITS
from ...records.api import RecordsApi
from ...records.cid import record_cid
from ...records.model import DeleteResult, LookupResult, PullResult, PushResult, RecordMeta, RecordRef
from ...records.wire import EXISTED

R = TypeVar("R")


class Named(Protocol):
    """Whatever has a CID: a RecordRef, RecordMeta, Tag, Artifact."""

    @property
    def cid(self) -> str: ...


RecordInput: TypeAlias = Mapping[str, Any] | str | bytes | bytearray | memoryview
"""A record: a JSON object as Python has it, or its text in any form."""

RefInput: TypeAlias = str | Named
"""A record's CID, or what has one."""

SomeRecords: TypeAlias = list[RecordInput] | list[dict[str, Any]] | tuple[RecordInput, ...]
SomeRefs: TypeAlias = list[str] | list[RecordRef] | list[RecordMeta] | list[RefInput] | tuple[RefInput, ...]
"""Lists of them; a text is never taken for a list of letters."""

Loads = Callable[[bytes], Any]
ReadMeta = Callable[[bytes], RecordMeta]


class Kind(NamedTuple, Generic[R]):
    """One of the four streams.  ``body`` raises what is then the item's result; ``result`` too."""

    name: str
    method: Callable[..., Any]
    body: Callable[[Any], bytes]
    result: Callable[[int, int, bytes, bytes], R]
    """From index, status, the answer's body and the item's."""
    failed: Callable[[int, HoldfastError | None], R]
    settle: Callable[[HoldfastError], bool]
    """Whether that error, met by an item that may have been done before, says that it was."""


def push_kind() -> Kind[PushResult]:
    """Records to be stored."""
    return Kind(
        "push", RecordsApi.push, record_body, _pushed, lambda index, error: PushResult(index, None, error), _never
    )


def pull_kind(loads: Loads = json.loads) -> Kind[PullResult]:
    """CIDs of records to be read; what comes is compared with its CID."""

    def pulled(index: int, _status: int, answer: bytes, asked: bytes) -> PullResult:
        cid = record_cid(answer)
        if cid.encode() != asked:
            raise CorruptionError(where="the record that came", expected=asked.decode(errors="replace"), got=cid)
        record = _loaded(loads, answer)
        if not isinstance(record, dict):
            raise ProtocolError("an answer is no JSON object", reason="answer")
        return PullResult(index, record)

    return Kind("pull", RecordsApi.pull, ref_body, pulled, lambda index, error: PullResult(index, None, error), _never)


def lookup_kind(read_meta: ReadMeta | None = None) -> Kind[LookupResult]:
    """CIDs of records of which is wanted what is known of them."""
    read = read_meta or _read_meta

    def looked_up(index: int, _status: int, answer: bytes, _asked: bytes) -> LookupResult:
        return LookupResult(index, _loaded(read, answer))

    return Kind(
        "lookup", RecordsApi.lookup, ref_body, looked_up, lambda index, error: LookupResult(index, None, error), _never
    )


def delete_kind() -> Kind[DeleteResult]:
    """CIDs of records to be removed.  One that was under way when the link was cut, and then is not there, is."""

    def deleted(index: int, _status: int, _answer: bytes, _asked: bytes) -> DeleteResult:
        return DeleteResult(index)

    return Kind("delete", RecordsApi.delete, ref_body, deleted, DeleteResult, lambda error: isinstance(error, NotFound))


def record_body(record: object) -> bytes:
    """A record as text.  UsageError for what JSON does not have, LimitExceeded for too much of it."""
    if isinstance(record, bytes):
        body = record
    elif isinstance(record, str):
        body = _encoded(record)
    elif isinstance(record, bytearray | memoryview):
        body = bytes(record)
    elif isinstance(record, Mapping):
        try:
            text = json.dumps(record if isinstance(record, dict) else dict(record), allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"record: not JSON: {error}", field="record") from None
        body = _encoded(text)
    else:
        raise UsageError(f"record: a mapping or JSON text was expected, not {type(record).__name__}", field="record")
    if len(body) > LIMITS.record_item_bytes_max:
        raise LimitExceeded(name="record_item_bytes_max", limit=LIMITS.record_item_bytes_max, value=len(body))
    return body


def ref_body(ref: object) -> bytes:
    """A CID as it travels; whether it is one is for the node to say."""
    cid = ref if isinstance(ref, str) else getattr(ref, "cid", None)
    if not isinstance(cid, str):
        raise UsageError(f"cid: a CID or what has one was expected, not {type(ref).__name__}", field="cid")
    return _encoded(cid, "cid")


def _encoded(text: str, field: str = "record") -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{field}: not UTF-8: {error}", field=field) from None


def _pushed(index: int, status: int, answer: bytes, _sent: bytes) -> PushResult:
    return PushResult(index, RecordRef(cid=str(answer, "ascii")), None, status == EXISTED)


def _never(_error: HoldfastError) -> bool:
    return False


def _loaded(load: Callable[[bytes], R], answer: bytes) -> R:
    try:
        return load(answer)
    except (ValueError, TypeError) as error:
        raise ProtocolError(f"an answer cannot be read: {error}", reason="answer") from None


_META_FIELDS = frozenset(RecordMeta.__dataclass_fields__)


def _read_meta(answer: bytes) -> RecordMeta:
    """What is known of a record; what a newer node says besides is left out."""
    found = json.loads(answer)
    if not isinstance(found, dict):
        raise TypeError("it is no object")
    if not found.keys() <= _META_FIELDS:
        found = {name: value for name, value in found.items() if name in _META_FIELDS}
    return RecordMeta(**found)


def cid_of(ref: RefInput) -> str:
    """The CID itself.  UsageError for what has none."""
    return str(ref_body(ref), "utf-8")
