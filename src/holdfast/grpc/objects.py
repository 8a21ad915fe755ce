"""JSON objects as protobuf's ``Struct``, and back."""

from __future__ import annotations

import math
from typing import Any

from ..errors import LimitExceeded, UsageError

DEPTH_MAX = 100
"""How deep messages may nest before protobuf's readers refuse them; an object in an object takes three, a list two."""


def object_of(struct: Any) -> dict[str, Any]:
    """The JSON object in a ``Struct``: numbers as doubles, a value of no kind as null.

    UsageError for a number that JSON has not.
    """
    return {key: _read(value) for key, value in struct.fields.items()}


def _read(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return _finite(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return {key: _read(inner) for key, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_read(inner) for inner in value.list_value.values]
    return None


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise UsageError(f"data: {number} is no number in JSON", field="data")
    return number


def fill_struct(struct: Any, content: dict[str, Any]) -> None:
    """Put a JSON object into an empty ``Struct`` that is one message deep; integers become doubles, as they do there.

    LimitExceeded if it is nested so deep that nobody could read it.
    """
    _fill(struct.fields, content, 1)


def _fill(fields: Any, content: dict[str, Any], depth: int) -> None:
    for key, value in content.items():
        _write(fields[key], value, depth + 2)


def _write(target: Any, value: Any, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise LimitExceeded(f"too deep for gRPC: more than {DEPTH_MAX} messages", "grpc_depth_max", DEPTH_MAX, depth)
    if value is None:
        target.null_value = 0
    elif isinstance(value, str):
        target.string_value = value
    elif value is True or value is False:
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        _fill(target.struct_value.fields, value, depth + 1)
    else:
        target.list_value.SetInParent()
        for inner in value:
            _write(target.list_value.values.add(), inner, depth + 2)
