"""docs/reference/errors.md: the registry of errors and the exit codes, from ``holdfast.errors``."""

from __future__ import annotations

import builtins
import inspect

from holdfast import errors
from holdfast.errors import ErrorEntry, HoldfastError

EXIT_CODES: tuple[tuple[str, str], ...] = (
    ("0", "Done. For `run`, `attach` and `wait`: the job ended with 0."),
    ("1-123", "For `run`, `attach` and `wait`: the job's own exit code. From other commands only those below."),
    ("2", "A value was refused; the message names it."),
    ("EXIT_NOT_FOUND", "No job of that name or id."),
    ("EXIT_HELD", "Someone else holds it, or it is not in the expected state."),
    ("EXIT_DENIED", "Not allowed, or not known who asks."),
    ("EXIT_GONE", "The position asked for has been trimmed away."),
    ("EXIT_LINK_LOST", "The link was lost, or no node answers. The job runs on: a cut never exits with 0."),
    ("EXIT_TIMED_OUT", "The time given has passed."),
    ("EXIT_OUR_ERROR", "Holdfast itself failed, or the command line cannot be read; the message says how."),
    ("EXIT_NOT_EXECUTABLE", "The command to run is there and cannot be executed."),
    ("EXIT_NOT_FOUND_COMMAND", "The command to run is not there."),
    ("128+n", "The job was ended by signal n; or this command was: 130 by Ctrl-C, 141 because its reader left."),
)
"""Exit codes in the order of the page; a name is that of a constant in ``holdfast.errors``."""

HEAD = """\
# Errors

Every error Holdfast raises on purpose is a `holdfast.errors.HoldfastError`, and one of the classes below. The same
registry gives each its name on the wire, its HTTP and gRPC status and its exit code, so an error means the same behind
every door. The code and the names are stable; messages are for people and may change.
"""


def page() -> str:
    """The page's text."""
    rows = [_row(entry) for entry in errors.REGISTRY]
    table = "\n".join(
        [
            "| code | class | on the wire | HTTP | gRPC | exit | try again |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    )
    details = "\n".join(_section(entry) for entry in errors.REGISTRY)
    return f"{HEAD}\n{table}\n\n{_exit_codes()}\n## The classes\n\n{details}"


def _row(entry: ErrorEntry) -> str:
    link = f"[`{entry.cls.__name__}`](#{entry.code.lower()}-{entry.cls.__name__.lower()})"
    return f"| {entry.code} | {link} | `{entry.rpc}` | {entry.http} | `{entry.grpc}` | {entry.exit} | {entry.retry} |"


def _section(entry: ErrorEntry) -> str:
    lines = [f"### {entry.code} {entry.cls.__name__}", "", _markdown(inspect.getdoc(entry.cls) or "")]
    facts = [f"`{name}`" for name in entry.cls.fields]
    lines += ["", f"Fields: {', '.join(facts)}." if facts else "No fields."]
    also = [f"`{base.__name__}`" for base in entry.cls.__mro__ if _is_expected_builtin(base)]
    if also:
        lines[-1] += f" Also a {' and a '.join(also)}."
    parent = entry.cls.__mro__[1]
    if issubclass(parent, HoldfastError) and parent is not HoldfastError:
        lines[-1] += f" A kind of `{parent.__name__}`."
    return "\n".join([*lines, ""])


def _is_expected_builtin(base: type) -> bool:
    """Whether ``base`` is a builtin exception that says more than Exception does."""
    return getattr(builtins, base.__name__, None) is base and base not in {Exception, BaseException, object}


def _markdown(docstring: str) -> str:
    return docstring.replace("``", "`")


def _exit_codes() -> str:
    rows = [f"| {getattr(errors, name, name)} | {meaning} |" for name, meaning in EXIT_CODES]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "| --- | --- |", *rows, ""])
