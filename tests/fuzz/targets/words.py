"""What reads words: subjects and patterns, names, sizes and times, offsets, CIDs."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.durable.paths import check_path
from holdfast.errors import UsageError
from holdfast.http.offsets import cursor_at, offset_of, where_of
from holdfast.http.session_events import decode_places, encode_places
from holdfast.ids import check_name
from holdfast.quantities import format_size, parse_duration, parse_rate, parse_size
from holdfast.records.cid import RAW, RECORD, cid_of_digest, digest_of_cid
from holdfast.subjects import PatternTrie, check_pattern, check_subject, matches, name_of, overlap, word_of


def check_words(data: bytes) -> None:
    """Each is a word that its reader knows, or a UsageError that names a field."""
    first, _, second = data.decode("utf-8", "replace").partition("\n")
    assert name_of(word_of(first)) == first
    cursor_at(1_760_000_000.0, first, 0.5)
    for read in (check_path, check_name, _offset, _places, _cid, _quantities):
        _refused_or_read(read, first)
    _refused_or_read(lambda pattern: _pattern(pattern, second), first)


def _refused_or_read(read: Callable[[str], object], text: str) -> None:
    try:
        read(text)
    except UsageError as error:
        assert error.field


def _pattern(pattern: str, subject: str) -> None:
    check_pattern(pattern)
    assert overlap(pattern, pattern)
    check_subject(subject)
    trie: PatternTrie[int] = PatternTrie()
    trie.add(pattern, 1)
    assert list(trie.match(subject)) == ([1] if matches(pattern, subject) else [])
    assert overlap(pattern, subject) or not matches(pattern, subject)


def _offset(text: str) -> None:
    where = where_of(text)
    assert isinstance(where, str) or where_of(offset_of(where)) == where


def _places(text: str) -> None:
    places = decode_places(text)
    assert decode_places(encode_places(places).decode()) == places


def _cid(text: str) -> None:
    for codec in (RECORD, RAW):
        _refused_or_read(lambda cid, codec=codec: _same_cid(cid, codec), text)  # type: ignore[misc]


def _same_cid(cid: str, codec: int) -> None:
    assert cid_of_digest(digest_of_cid(cid, codec), codec) == cid


def _quantities(text: str) -> None:
    _refused_or_read(parse_duration, text)
    _refused_or_read(parse_rate, text)
    assert format_size(parse_size(text))
