"""Canonical JSON exactly as Go's encoding/json writes it, from which a record's CID is made.

Keys by their UTF-8 bytes, no spaces, HTML's characters escaped, and numbers as doubles in their shortest form.

The fast way leaves the writing to the standard library's C encoder: numbers are read as such ints and floats that it
writes just as Go does, and what only strings hold is escaped in the finished text.  Numbers it cannot write so (tiny
ones, and -0) go the slow way, which writes each value itself.
"""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from typing import Any, Final, NoReturn

from ..errors import UsageError

DEPTH_MAX: Final = 256
"""Levels of objects and arrays in each other; every reader on every platform can take as many."""

_EXACT: Final = 1 << 53
"""Up to here every int is a double."""


class _WriteSlowlyError(ValueError):
    """There is a number that the C encoder writes in another way than Go."""


def canonicalise(text: bytes | bytearray | memoryview, field: str = "record") -> tuple[dict[str, Any], bytes]:
    """The object in the JSON ``text``, and its canonical form.

    UsageError naming ``field`` for what is not UTF-8, not JSON or not an object, for numbers beyond a double, halves of
    surrogate pairs, and too deep a nesting.  Of a key that comes twice the last value counts.
    """
    try:
        decoded = str(text, "utf-8")
        if decoded.count("{") + decoded.count("[") > DEPTH_MAX:
            _check_depth(decoded, field)
        try:
            value = _decode_fast(decoded)
            written = _encode(value)
        except _WriteSlowlyError:
            value = _decode(decoded)
            written = _written(value, field)
        if not isinstance(value, dict):
            raise UsageError(f"{field}: a JSON object was expected, found {_kind(value)}", field=field)
        return value, _escaped(written).encode()
    except UnicodeError as error:
        raise UsageError(f"{field}: not UTF-8: {error}", field=field) from None
    except RecursionError:
        raise _too_deep(field) from None
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{field}: not JSON: {error}", field=field) from None


def canonical_json(value: Any, field: str = "record") -> bytes:
    """The canonical form of a Python value made of dict, list, tuple, str, int, float, bool and None.

    UsageError naming ``field`` for keys that are no strings, numbers beyond a double, NaN, halves of surrogate pairs,
    any other type, and too deep a nesting.
    """
    try:
        return _escaped(_written(value, field)).encode()
    except UnicodeError as error:
        raise UsageError(f"{field}: not UTF-8: {error}", field=field) from None
    except RecursionError:
        raise _too_deep(field) from None


# reading


def _fast_int(digits: str) -> int | float:
    number = int(digits)
    if -_EXACT <= number <= _EXACT and (number or digits == "0"):
        return number
    return _fast_float(digits)


def _fast_float(digits: str) -> int | float:
    """An int that is written as Go writes this double, or the double if Python writes it so."""
    number = float(digits)
    size = abs(number)
    if size < 1e16:
        if number == (whole := int(number)):
            if not whole and digits[0] == "-":
                raise _WriteSlowlyError
            return whole
        if size < 1e-4 and size >= 1e-9:
            raise _WriteSlowlyError
        return number
    if size < 1e21:
        return int(_positional(number))
    return _finite(number, digits)


def _slow_number(digits: str) -> float:
    return _finite(float(digits), digits)


def _finite(number: float, digits: str) -> float:
    if number - number:
        raise ValueError(f"the number {digits[:40]} is beyond a double")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode_fast: Final = JSONDecoder(parse_int=_fast_int, parse_float=_fast_float, parse_constant=_no_constant).decode
_decode: Final = JSONDecoder(parse_int=_slow_number, parse_float=_slow_number, parse_constant=_no_constant).decode
_encode: Final = JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, sort_keys=True, allow_nan=False, check_circular=False
).encode
_quote: Final = JSONEncoder(ensure_ascii=False).encode


def _check_depth(text: str, field: str) -> None:
    """UsageError if brackets outside of strings are nested too deeply."""
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
            if depth > DEPTH_MAX:
                raise _too_deep(field)
        elif character in "}]":
            depth -= 1


def _too_deep(field: str) -> UsageError:
    return UsageError(f"{field}: nested more than {DEPTH_MAX} levels deep", field=field)


# writing


def _escaped(text: str) -> str:
    """``text`` with what Go escapes besides; outside of strings there is none of it."""
    if "&" in text:
        text = text.replace("&", "\\u0026")
    if "<" in text:
        text = text.replace("<", "\\u003c")
    if ">" in text:
        text = text.replace(">", "\\u003e")
    if not text.isascii():
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text


def _written(value: Any, field: str) -> str:
    parts: list[str] = []
    _write(value, parts.append, field, 0)
    return "".join(parts)


def _write(value: Any, put: Any, field: str, depth: int) -> None:
    if isinstance(value, str):
        put(_quote(value))
    elif value is None or value is True or value is False:
        put("null" if value is None else "true" if value else "false")
    elif isinstance(value, int | float):
        put(_number(value, field))
    elif depth >= DEPTH_MAX:
        raise _too_deep(field)
    elif isinstance(value, dict):
        _write_object(value, put, field, depth + 1)
    elif isinstance(value, list | tuple):
        separator = "["
        for item in value:
            put(separator)
            _write(item, put, field, depth + 1)
            separator = ","
        put("]" if value else "[]")
    else:
        raise UsageError(f"{field}: JSON has no {type(value).__name__}", field=field)


def _write_object(value: dict[Any, Any], put: Any, field: str, depth: int) -> None:
    for key in value:
        if not isinstance(key, str):
            raise UsageError(f"{field}: the key {key!r} is not a string", field=field)
    separator = "{"
    for key in sorted(value):
        put(separator)
        put(_quote(key))
        put(":")
        _write(value[key], put, field, depth)
        separator = ","
    put("}" if value else "{}")


def _number(value: float, field: str) -> str:
    if isinstance(value, int) and -_EXACT <= value <= _EXACT:
        return int.__repr__(value)
    try:
        number = float(value)
    except OverflowError:
        raise UsageError(f"{field}: a number is beyond a double", field=field) from None
    if number - number:
        raise UsageError(f"{field}: JSON has no {number}", field=field)
    size = abs(number)
    if size >= 1e21 or 0 < size < 1e-6:
        mantissa, _, exponent = repr(number).partition("e")
        return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
    if number == int(number) and size < _EXACT:
        return "-0" if not number and repr(number)[0] == "-" else repr(int(number))
    return _positional(number)


def _positional(number: float) -> str:
    """The shortest digits of a double, without an exponent."""
    from decimal import Decimal

    text = format(Decimal(repr(number)), "f")
    return text.removesuffix(".0")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), type(value).__name__)
