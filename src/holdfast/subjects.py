"""Subjects, and patterns over them: words joined by dots, as in NATS.

A subject is one word or more: ``jobs.4x7.output``.  A pattern is a subject in which ``*`` stands for any one word and
``>``, as the last word, for one or more.  Words hold no white space, no dots, no ``*`` and no ``>``; names that do
become words by :func:`word_of`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from .errors import UsageError
from .limits import LIMITS

T = TypeVar("T")

_ESCAPED = {character: f"%{ord(character):02X}" for character in ".*>% \t\r\n"}


def check_subject(text: str, field: str = "subject") -> str:
    """``text`` itself if it is a subject; UsageError naming ``field`` and the offence if not."""
    for word in _words(text, field):
        if "*" in word or ">" in word:
            raise UsageError(f"{field}: {text!r} is a pattern; a subject has no '*' and no '>'", field=field)
    return text


def check_pattern(text: str, field: str = "pattern") -> str:
    """``text`` itself if it is a pattern, as every subject is; UsageError naming ``field`` and the offence if not."""
    words = _words(text, field)
    for place, word in enumerate(words):
        if word == ">" and place < len(words) - 1:
            raise UsageError(f"{field}: {text!r} goes on after '>', which stands for all the rest", field=field)
        if len(word) > 1 and ("*" in word or ">" in word):
            raise UsageError(f"{field}: in {text!r} {word!r} is neither a word nor '*' nor '>' alone", field=field)
    return text


def _words(text: str, field: str) -> list[str]:
    if not text:
        raise UsageError(f"{field}: must not be empty", field=field)
    if len(text) > LIMITS.subject_length_max:
        limit = LIMITS.subject_length_max
        raise UsageError(f"{field}: {len(text)} characters, over the limit subject_length_max = {limit}", field=field)
    words = text.split(".")
    if "" in words:
        raise UsageError(f"{field}: {text!r} has an empty word", field=field)
    if not text.isprintable() or " " in text:
        raise UsageError(f"{field}: {text!r} holds white space or a control character", field=field)
    return words


def is_wild(pattern: str) -> bool:
    """Whether ``pattern`` stands for more than one subject."""
    return "*" in pattern or ">" in pattern


def matches(pattern: str, subject: str) -> bool:
    """Whether ``subject`` is one of those that ``pattern`` stands for."""
    if pattern == subject:
        return True
    words, wanted = subject.split("."), pattern.split(".")
    for place, want in enumerate(wanted):
        if want == ">":
            return len(words) > place
        if place >= len(words) or want not in ("*", words[place]):
            return False
    return len(words) == len(wanted)


def overlap(one: str, other: str) -> bool:
    """Whether there can be a subject that both patterns stand for."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if ">" in (a, b):
            return True
        if "*" not in (a, b) and a != b:
            return False
    return len(left) == len(right)


def word_of(name: str) -> str:
    """``name`` as one word of a subject; what a word cannot hold is written as ``%`` and two hex digits."""
    if not any(character in _ESCAPED for character in name):
        return name
    return "".join(_ESCAPED.get(character, character) for character in name)


def name_of(word: str) -> str:
    """The name that :func:`word_of` made ``word`` of; a ``%`` that no two hex digits follow stays."""
    if "%" not in word:
        return word
    first, *rest = word.split("%")
    return first + "".join(_unescaped(part) for part in rest)


def _unescaped(part: str) -> str:
    for character, code in _ESCAPED.items():
        if part[:2] == code[1:]:
            return character + part[2:]
    return "%" + part


class _Node(Generic[T]):
    __slots__ = ("children", "rest", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: dict[T, None] = {}
        """Of patterns that end here, in the order they were added."""
        self.rest: dict[T, None] = {}
        """Of patterns that go on with ``>``."""


class PatternTrie(Generic[T]):
    """Values under patterns; what a subject matches is found word by word.

    The cost of :meth:`match` is in the words of the subject and in what it finds, not in the patterns there are.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, pattern: str, value: T) -> None:
        """Put ``value`` under ``pattern``; once, however often it is added."""
        node, values = self._root, self._root.values
        for word in pattern.split("."):
            if word == ">":
                values = node.rest
                break
            node = node.children.setdefault(word, _Node())
            values = node.values
        self._count += value not in values
        values[value] = None

    def remove(self, pattern: str, value: T) -> None:
        """Take ``value`` from under ``pattern``; nothing happens if it is not there."""
        path: list[tuple[_Node[T], str]] = []
        node, values = self._root, self._root.values
        for word in pattern.split("."):
            if word == ">":
                values = node.rest
                break
            if word not in node.children:
                return
            path.append((node, word))
            node = node.children[word]
            values = node.values
        if value in values:
            del values[value]
            self._count -= 1
        for parent, word in reversed(path):
            child = parent.children[word]
            if child.children or child.values or child.rest:
                break
            del parent.children[word]

    def match(self, subject: str) -> list[T]:
        """The values whose pattern stands for ``subject``; one that is under several of them comes as often."""
        found: list[T] = []
        nodes = [self._root]
        for word in subject.split("."):
            following = []
            for node in nodes:
                if node.rest:
                    found += node.rest
                children = node.children
                child = children.get(word)
                if child is not None:
                    following.append(child)
                child = children.get("*")
                if child is not None:
                    following.append(child)
            if not following:
                return found
            nodes = following
        for node in nodes:
            found += node.values
        return found

    def __iter__(self) -> Iterator[T]:
        nodes = [self._root]
        while nodes:
            node = nodes.pop()
            yield from node.values
            yield from node.rest
            nodes += node.children.values()
