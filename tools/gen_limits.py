"""docs/reference/limits.md: every bound, its default, unit and reason, from the source of ``holdfast.limits``."""

from __future__ import annotations

import ast
import inspect
import re
from typing import NamedTuple

from holdfast import limits

HEAD = """\
# Limits

Everything Holdfast keeps is bounded, and each bound is one of these. An error that a limit causes names it and its
value. Sizes are in bytes (1 MiB = 1,048,576), times in seconds.

A node takes other values from its environment, by the limit's name in capitals:
`HOLDFAST_LIMIT_SPILL_BYTES_MAX=256MiB`, `HOLDFAST_LIMIT_STALL_S=30s`. An unknown name, or values that contradict each
other, are refused when the node starts.
"""


class LimitDoc(NamedTuple):
    """One limit as the page shows it."""

    section: str
    name: str
    default: float
    reason: str


def documented() -> list[LimitDoc]:
    """The limits in the order of the source, each with the docstring under it (empty: there is none)."""
    source = inspect.getsource(limits)
    sections = _section_starts(source)
    body = _limits_class(ast.parse(source)).body
    found = []
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        section = next((title for line, title in reversed(sections) if line < node.lineno), "general")
        default = getattr(limits.LIMITS, node.target.id)
        found.append(LimitDoc(section, node.target.id, default, _docstring(following)))
    return found


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    docs = documented()
    for section in dict.fromkeys(doc.section for doc in docs):
        rows = [f"| `{d.name}` | {_value(d)} | {_markdown(d.reason)} |" for d in docs if d.section == section]
        title = section[0].upper() + section[1:]
        parts.append("\n".join([f"## {title}", "", "| limit | default | why |", "| --- | --- | --- |", *rows, ""]))
    relations = "\n".join(f"* `{relation}`" for relation in _relations())
    parts.append(f"## Relations\n\nChecked when the module is imported:\n\n{relations}\n")
    return "\n".join(parts)


def _limits_class(tree: ast.Module) -> ast.ClassDef:
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Limits")


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def _section_starts(source: str) -> list[tuple[int, str]]:
    """Line numbers and titles of the comments that divide the class."""
    return [
        (number, match[1])
        for number, line in enumerate(source.splitlines(), 1)
        if (match := re.fullmatch(r" {4}# (.+)", line))
    ]


def _relations() -> list[str]:
    tree = ast.parse(inspect.getsource(limits.check_limits))
    tests = [ast.unparse(node.test) for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    return [test.replace("limits.", "") for test in tests]


def _value(doc: LimitDoc) -> str:
    if "bytes" in doc.name.split("_"):
        return _size(int(doc.default))
    if "s" in doc.name.split("_") and "per" not in doc.name.split("_"):
        return _duration(doc.default)
    return f"{doc.default:,g}" if isinstance(doc.default, float) else f"{doc.default:,}"


def _size(size_bytes: int) -> str:
    for unit_bytes, unit in ((limits.GIB, "GiB"), (limits.MIB, "MiB"), (limits.KIB, "KiB")):
        if size_bytes >= unit_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes} {unit}"
    return f"{size_bytes:,} bytes"


def _duration(seconds: float) -> str:
    if seconds >= limits.DAY_S and seconds % limits.DAY_S == 0:
        days = seconds / limits.DAY_S
        return f"{days:g} days" if days > 1 else "1 day"
    if seconds >= 7200 and seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    return f"{seconds:g} s"


def _markdown(docstring: str) -> str:
    return docstring.replace("``", "`").replace("|", "\\|")
