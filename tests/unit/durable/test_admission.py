"""What an addition meets, and in which order."""

from __future__ import annotations

import pytest

from holdfast.durable.admission import Admitted, Duplicated, admit, check_addition
from holdfast.durable.meta import StreamMeta
from holdfast.durable.model import Addition
from holdfast.engine.base import Producer
from holdfast.errors import ClosedError, Conflict, Fenced, UsageError

META = StreamMeta(id="i", path="p", content_type="text/plain; charset=utf-8", created_at_s=0.0)
JSON = META.changed(content_type="Application/JSON")


def addition(body: bytes = b"x", **fields: object) -> Addition:
    return Addition(body=body, content_type="text/plain", **fields)  # type: ignore[arg-type]


def decide(given: Addition, meta: StreamMeta = META, *, closed: bool = False, known: Producer | None = None) -> object:
    return admit(meta, given, closed=closed, known=known)


def test_bytes_go_as_they_are_and_change_nothing() -> None:
    assert decide(addition(b"abc")) == Admitted(b"abc", None)


def test_json_is_taken_apart() -> None:
    given = Addition(body=b"[1,[2]]", content_type="application/json")
    assert decide(given, JSON) == Admitted([b"1", b"[2]"], None)


def test_nothing_is_an_addition_only_if_it_closes() -> None:
    with pytest.raises(UsageError, match="empty"):
        check_addition(Addition())
    with pytest.raises(UsageError, match="Content-Type"):
        check_addition(Addition(body=b"x"))
    check_addition(Addition(close=True))
    assert decide(Addition(close=True)) == Admitted(b"", None)
    assert decide(Addition(close=True), JSON) == Admitted([], None)


def test_an_empty_array_is_no_message() -> None:
    with pytest.raises(UsageError):
        decide(Addition(body=b"[]", content_type="application/json"), JSON)


def test_closed_comes_before_the_content_type_and_that_before_the_sequence() -> None:
    wrong = Addition(body=b"x", content_type="image/png", sequence="1")
    meta = META.changed(sequence="2")
    with pytest.raises(ClosedError):
        decide(wrong, meta, closed=True)
    with pytest.raises(Conflict, match="Content-Type"):
        decide(wrong, meta)
    with pytest.raises(Conflict, match="Stream-Seq"):
        decide(addition(sequence="1"), meta)


def test_a_close_without_body_ignores_the_content_type() -> None:
    assert isinstance(decide(Addition(content_type="image/png", close=True)), Admitted)


def test_sequences_grow_as_bytes_do() -> None:
    verdict = decide(addition(sequence="10"), META.changed(sequence="09"))
    assert isinstance(verdict, Admitted) and verdict.meta is not None and verdict.meta.sequence == "10"
    for lower in ("10", "2"):
        with pytest.raises(Conflict):
            decide(addition(sequence="10"), META.changed(sequence=lower))


def test_a_repeated_producer_sequence_is_a_duplicate_even_with_an_old_stream_sequence() -> None:
    known = Producer("p", 1, 5)
    given = addition(sequence="1", producer=Producer("p", 1, 4))
    assert decide(given, META.changed(sequence="9"), known=known) == Duplicated(known)


def test_closing_remembers_who_closed() -> None:
    producer = Producer("p", 0, 0)
    verdict = decide(addition(close=True, producer=producer))
    assert isinstance(verdict, Admitted) and verdict.meta is not None and verdict.meta.closed_by == producer


def test_closing_again_is_fine_for_who_did_it_and_for_who_adds_nothing() -> None:
    closer = Producer("p", 0, 3)
    meta = META.changed(closed_by=closer)
    assert decide(addition(close=True, producer=closer), meta, closed=True) == Duplicated(closer)
    assert decide(Addition(close=True), meta, closed=True) == Duplicated(None)
    for other in (Producer("p", 0, 2), Producer("p", 0, 4), Producer("q", 0, 3)):
        with pytest.raises(ClosedError):
            decide(addition(close=True, producer=other), meta, closed=True, known=closer if other.id == "p" else None)


def test_a_producer_of_an_old_epoch_is_told_so_even_after_the_end() -> None:
    with pytest.raises(Fenced) as caught:
        decide(addition(producer=Producer("p", 0, 9)), closed=True, known=Producer("p", 2, 0))
    assert caught.value.epoch == 2
