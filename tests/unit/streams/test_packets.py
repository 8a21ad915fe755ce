from __future__ import annotations

from holdfast.streams import BYTES, EOF, ERROR, GAP, Ack, Data


def test_the_kinds_are_on_the_wire_and_stay() -> None:
    assert (BYTES, EOF, ERROR, GAP) == (0, 1, 2, 3)


def test_what_is_not_said_is_nothing() -> None:
    assert Data(7, 100) == (7, 100, b"", BYTES, 0, 0)
    assert Ack(7, 100, 5) == (7, 100, 5, False, False, "")
