"""Headers and queries taken apart."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers, QueryParams

from holdfast.durable.model import Addition, Creation, Fork
from holdfast.engine.base import Producer
from holdfast.errors import UsageError
from holdfast.http.offsets import offset_of
from holdfast.http.reading import (
    ReadRequest,
    moment_of,
    parse_addition,
    parse_creation,
    parse_integer,
    parse_moment,
    parse_read,
)

PRODUCER = {"producer-id": "p", "producer-epoch": "1", "producer-seq": "2"}


def query(**parameters: str) -> QueryParams:
    return QueryParams(urlencode(parameters))


def test_a_read_is_from_the_start_unless_it_says_otherwise() -> None:
    assert parse_read(query()) == ReadRequest("start")
    assert parse_read(query(offset="now", live="sse", cursor="5")) == ReadRequest("now", "sse", "5")
    assert parse_read(query(offset=offset_of(3), live="long-poll")) == ReadRequest(3, "long-poll")
    assert parse_read(query(offset="-1", unknown="x")) == ReadRequest("start")


def test_an_event_source_that_comes_back_says_how_far_it_got() -> None:
    wanted = parse_read(query(offset="-1", live="sse"), offset_of(7))
    assert wanted == ReadRequest(7, "sse", None, resumed=True)
    assert parse_read(query(offset="-1"), offset_of(7)) == ReadRequest("start")
    with pytest.raises(UsageError):
        parse_read(query(offset="-1", live="sse"), "nonsense")


@pytest.mark.parametrize(
    "text",
    ["live=sse", "live=long-poll", "offset=", "offset=a", "offset=1&offset=2", "offset=0&live=x", "offset=0&live="],
)
def test_a_read_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_read(QueryParams(text))


def test_a_creation_says_what_the_headers_say() -> None:
    assert parse_creation(Headers(), b"") == Creation()
    headers = Headers({"Content-Type": "text/plain", "Stream-TTL": "60", "Stream-Closed": "TRUE"})
    assert parse_creation(headers, b"x") == Creation(content_type="text/plain", ttl_s=60, closed=True, body=b"x")


def test_a_fork_is_named_by_its_url_path() -> None:
    headers = Headers({"Stream-Forked-From": "/v1/stream/a/b%20c", "Stream-Fork-Sub-Offset": "3"})
    assert parse_creation(headers, b"").fork == Fork(source="a/b c", beyond=3)
    headers = Headers({"Stream-Forked-From": "/v1/stream/a", "Stream-Fork-Offset": offset_of(7)})
    assert parse_creation(headers, b"").fork == Fork(source="a", position=7)


@pytest.mark.parametrize(
    "headers",
    [
        {"stream-ttl": "1", "stream-expires-at": "2030-01-01T00:00:00Z"},
        {"stream-ttl": ""},
        {"stream-ttl": "-1"},
        {"stream-ttl": "01"},
        {"stream-ttl": "1.0"},
        {"stream-ttl": "1e3"},
        {"stream-ttl": "9007199254740992"},
        {"stream-expires-at": "tomorrow"},
        {"content-type": "nonsense"},
        {"content-type": "a/b\x80c"},
        {"stream-fork-offset": offset_of(0)},
        {"stream-fork-sub-offset": "0"},
        {"stream-forked-from": "elsewhere"},
        {"stream-forked-from": "/v1/stream/a", "stream-fork-sub-offset": "05"},
        {"stream-forked-from": "/v1/stream/a", "stream-fork-offset": "x"},
    ],
)
def test_a_creation_that_cannot_be_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_creation(headers, b"")
    assert caught.value.field


def test_an_addition_says_what_the_headers_say() -> None:
    headers = {"content-type": "text/plain", "stream-seq": "a1", "stream-closed": "true", **PRODUCER}
    assert parse_addition(headers, b"x") == Addition(
        body=b"x", content_type="text/plain", close=True, sequence="a1", producer=Producer("p", 1, 2)
    )


@pytest.mark.parametrize("value", ["false", "yes", "1", "", "true!"])
def test_closed_means_true_and_nothing_else(value: str) -> None:
    assert not parse_addition({"stream-closed": value}, b"").close


@pytest.mark.parametrize("missing", list(PRODUCER))
def test_producer_headers_come_together(missing: str) -> None:
    with pytest.raises(UsageError):
        parse_addition({name: value for name, value in PRODUCER.items() if name != missing}, b"x")


@pytest.mark.parametrize(
    ("name", "value"),
    [("producer-id", ""), ("producer-epoch", "1x"), ("producer-epoch", "-1"), ("producer-seq", "1.5"),
     ("producer-seq", ""), ("producer-seq", " 1"), ("producer-seq", "9007199254740992")],
)  # fmt: skip
def test_producer_headers_are_strict(name: str, value: str) -> None:
    with pytest.raises(UsageError):
        parse_addition({**PRODUCER, name: value}, b"x")


@given(st.integers(0, 2**53 - 1))
def test_an_integer_is_its_digits(number: int) -> None:
    assert parse_integer("x", str(number)) == number


@given(st.text(max_size=20))
def test_any_text_is_an_integer_written_once_or_refused(text: str) -> None:
    try:
        assert str(parse_integer("x", text)) == text
    except UsageError:
        pass


@given(st.integers(0, 4_000_000_000_000))
def test_a_moment_comes_back_to_the_millisecond(milliseconds: int) -> None:
    assert parse_moment("x", moment_of(milliseconds / 1000)) == milliseconds / 1000


def test_moments_carry_their_zone() -> None:
    assert parse_moment("x", "2030-01-01T01:00:00+01:00") == parse_moment("x", "2030-01-01t00:00:00z")
    for text in ("2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "2030-01-01T00:00:00+99:00", "0"):
        with pytest.raises(UsageError):
            parse_moment("x", text)
