"""What a job has done to the terminal it is watched in, and how that is undone when the viewer leaves.

A full-screen program asks for the alternate screen, the mouse, pasted text in brackets, and asks for none of it any
more when it ends.  Whoever detaches before that has to do it in its place.
"""

from __future__ import annotations

import re

_OFF_AT_FIRST = (9, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 1, 5, 66, 47, 1047, 1049)
"""Mouse, focus, bracketed paste, cursor keys, reverse video, keypad; the alternate screen last, so that what is
undone before is undone on it."""
_ON_AT_FIRST = (7, 25)
"""Wrapping at the edge, and the cursor."""
_SEQUENCE = re.compile(rb"\x1b(?:\[\?([0-9;]{1,64})([hl])|(\[!p|c)|([=>])|\[[0-9;:]{0,64}m)")
_HELD_MAX = 72
_KEYPAD = 66
"""DECNKM: the mode that ``ESC =`` and ``ESC >`` stand for."""


class ModeWatch:
    """Reads along.  :meth:`undo` gives what makes the terminal usual again."""

    def __init__(self) -> None:
        self._changed: dict[int, bool] = {}
        self._painted = False
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Take note of output, cut anywhere."""
        if not self._held and b"\x1b" not in data:
            return
        data = self._held + data
        end = 0
        for match in _SEQUENCE.finditer(data):
            end = match.end()
            self._note(match)
        start = data.rfind(b"\x1b", max(end, len(data) - _HELD_MAX))
        self._held = data[start:] if start >= 0 else b""

    def undo(self) -> bytes:
        """The sequences that undo what was noted; nothing if nothing was.  It is forgotten by that."""
        off = [mode for mode in _OFF_AT_FIRST if self._changed.get(mode)]
        on = [mode for mode in _ON_AT_FIRST if self._changed.get(mode) is False]
        parts = [b"\x1b[?%dl" % mode if mode != _KEYPAD else b"\x1b>" for mode in off]
        parts += [b"\x1b[?%dh" % mode for mode in on]
        if self._painted:
            parts.append(b"\x1b[m")
        self._changed.clear()
        self._painted = False
        return b"".join(parts)

    def _note(self, match: re.Match[bytes]) -> None:
        numbers, switch, reset, keypad = match.groups()
        if numbers is not None:
            for number in numbers.split(b";"):
                if number:
                    self._changed[int(number)] = switch == b"h"
        elif reset is not None:
            self._changed.clear()
            self._painted = False
        elif keypad is not None:
            self._changed[_KEYPAD] = keypad == b"="
        else:
            self._painted = match[0] not in (b"\x1b[m", b"\x1b[0m")
