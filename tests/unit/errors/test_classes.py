"""The classes of errors."""

from __future__ import annotations

import pickle

import pytest

from holdfast import errors
from holdfast.errors import REGISTRY, HoldfastError

EXPECTED_BUILTINS = {
    "UsageError": ValueError,
    "DisconnectedError": ConnectionError,
    "Unavailable": ConnectionError,
    "NotFound": LookupError,
    "AlreadyExists": LookupError,
    "Gone": LookupError,
    "Conflict": LookupError,
    "Unauthenticated": PermissionError,
    "PermissionDenied": PermissionError,
    "DeadlineExceeded": TimeoutError,
    "StorageError": OSError,
    "CorruptionError": OSError,
    "CommandNotFound": FileNotFoundError,
    "CommandNotExecutable": PermissionError,
}


every_class = pytest.mark.parametrize("cls", [entry.cls for entry in REGISTRY], ids=lambda cls: cls.__name__)


@every_class
def test_a_default_error_can_be_made_and_read(cls: type[HoldfastError]) -> None:
    error = cls()
    assert set(error.details()) == set(cls.fields)
    assert str(error) == error.message


@pytest.mark.parametrize(("name", "builtin"), EXPECTED_BUILTINS.items())
def test_the_builtin_a_caller_expects_catches_it(name: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), builtin)


@every_class
def test_errors_keep_their_fields_through_pickle(cls: type[HoldfastError]) -> None:
    sent = cls("why")
    got = pickle.loads(pickle.dumps(sent))
    assert (type(got), got.details(), got.message) == (type(sent), sent.details(), sent.message)


@every_class
def test_a_traceback_names_the_place_to_import_it_from(cls: type[HoldfastError]) -> None:
    assert cls.__module__ == HoldfastError.__module__ == "holdfast.errors"
    assert getattr(errors, cls.__name__) is cls


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.LimitExceeded(name="jobs_max", limit=3, value=4), "jobs_max: 4 is over the limit of 3"),
        (errors.NotFound(kind="job", name="x"), "no job 'x'"),
        (errors.AlreadyExists(kind="job", name="x", holder="abc"), "job name 'x' is in use by abc"),
        (errors.Gone(oldest=7), "trimmed away; the oldest kept position is 7"),
        (errors.Conflict(expected=1, actual=2), "expected 1, found 2"),
        (errors.DeadlineExceeded(phase="wait", after_s=2.5), "wait: no answer within 2.5 s"),
        (errors.CorruptionError(where="row 4", expected="a", got="b"), "row 4: expected a, got b"),
        (errors.CommandNotFound(command="nope"), "nope: command not found"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_messages_made_from_fields(error: HoldfastError, words: str) -> None:
    assert str(error) == words
