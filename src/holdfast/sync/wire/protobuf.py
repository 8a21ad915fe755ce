"""The little of protobuf that the wires and snapshots need: varints, fields, and a strict walk over them."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import ProtocolError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
UINT64_MAX = 2**64 - 1
_FIELD_MAX = 2**29 - 1
_SMALL = tuple(bytes((n,)) for n in range(128))


def varint(value: int) -> bytes:
    """``value``, 0 to 2**64 - 1, as it travels."""
    if value < 128:
        return _SMALL[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at ``position`` and the position after it.  ProtocolError if it is cut or over 64 bits."""
    value = shift = 0
    start = position
    try:
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 63:
                raise ProtocolError("a number of more than 64 bits", "malformed", start)
    except IndexError:
        raise ProtocolError("a number is cut", "truncated", start) from None
    if value > UINT64_MAX:
        raise ProtocolError("a number of more than 64 bits", "malformed", start)
    return value, position


def tag(field: int, wire_type: int) -> bytes:
    """What stands before a field's value."""
    return varint(field << 3 | wire_type)


def bytes_field(field: int, value: bytes) -> bytes:
    """A field of bytes, an empty one too."""
    size = len(value)
    if field < 16 and size < 128:
        return _SMALL[field << 3 | BYTES] + _SMALL[size] + value
    return tag(field, BYTES) + varint(len(value)) + value


def text_field(field: int, value: str) -> bytes:
    """A field of text; nothing at all if it is empty."""
    return bytes_field(field, value.encode()) if value else b""


def number_field(field: int, value: int) -> bytes:
    """A field with a number, 0 too."""
    return tag(field, VARINT) + varint(value)


def skip(data: bytes, position: int, wire_type: int, start: int) -> int:
    """The position after a value of ``wire_type``; ``start`` is where its field begins."""
    if wire_type == VARINT:
        return read_varint(data, position)[1]
    if wire_type == BYTES:
        size, position = read_varint(data, position)
        end = position + size
    elif wire_type in {FIXED64, FIXED32}:
        end = position + (8 if wire_type == FIXED64 else 4)
    else:
        raise ProtocolError(f"wire type {wire_type} at byte {start}", "malformed", start)
    if end > len(data):
        raise ProtocolError("a field is cut", "truncated", start)
    return end


def fields(data: bytes) -> Iterator[tuple[int, int | bytes, int, int]]:
    """Every field: its number, its value (an int or bytes), where it begins, where it ends.

    ProtocolError when the walk comes to something that is none.
    """
    position, size = 0, len(data)
    while position < size:
        start = position
        key, position = read_varint(data, position)
        field, wire_type = key >> 3, key & 7
        if not 0 < field <= _FIELD_MAX:
            raise ProtocolError(f"field number {field}", "malformed", start)
        end = skip(data, position, wire_type, start)
        if wire_type == VARINT:
            yield field, read_varint(data, position)[0], start, end
        else:
            if wire_type == BYTES:
                position = read_varint(data, position)[1]
            yield field, data[position:end], start, end
        position = end


def text(value: int | bytes, field: str, offset: int) -> str:
    """``value`` as text; ProtocolError naming ``field`` if it is none."""
    if isinstance(value, int):
        raise ProtocolError(f"{field}: a number instead of text", "malformed", offset)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{field}: no UTF-8", "malformed", offset) from None


def blob(value: int | bytes, field: str, offset: int) -> bytes:
    """``value`` as bytes; ProtocolError naming ``field`` if it is a number."""
    if isinstance(value, int):
        raise ProtocolError(f"{field}: a number instead of bytes", "malformed", offset)
    return value


def number(value: int | bytes, field: str, offset: int) -> int:
    """``value`` as a number; ProtocolError naming ``field`` if it is bytes."""
    if not isinstance(value, int):
        raise ProtocolError(f"{field}: bytes instead of a number", "malformed", offset)
    return value
