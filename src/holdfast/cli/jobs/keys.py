"""Keys by name, and the keys that detach; no I/O."""

from __future__ import annotations

from ...errors import UsageError

_NAMED = {
    "enter": b"\r",
    "return": b"\r",
    "tab": b"\t",
    "btab": b"\x1b[Z",
    "space": b" ",
    "escape": b"\x1b",
    "esc": b"\x1b",
    "bspace": b"\x7f",
    "backspace": b"\x7f",
    "delete": b"\x1b[3~",
    "insert": b"\x1b[2~",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "pageup": b"\x1b[5~",
    "ppage": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "npage": b"\x1b[6~",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "f1": b"\x1bOP",
    "f2": b"\x1bOQ",
    "f3": b"\x1bOR",
    "f4": b"\x1bOS",
    "f5": b"\x1b[15~",
    "f6": b"\x1b[17~",
    "f7": b"\x1b[18~",
    "f8": b"\x1b[19~",
    "f9": b"\x1b[20~",
    "f10": b"\x1b[21~",
    "f11": b"\x1b[23~",
    "f12": b"\x1b[24~",
}
"""What a VT220-like terminal sends; the names are those of tmux."""

KEY_NAMES = (
    *("Enter", "Tab", "BTab", "Space", "Escape", "BSpace", "Delete", "Insert", "Home", "End", "PageUp", "PageDown"),
    *("Up", "Down", "Right", "Left", *(f"F{number}" for number in range(1, 13))),
    *(f"C-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
)
"""The keys that have one usual name, for completion; each is one of :func:`key_bytes`."""

_CONTROL = ("c-", "ctrl-", "ctrl+", "^")
_META = ("m-", "alt-", "alt+", "meta-")


def key_bytes(name: str) -> bytes:
    """The bytes a terminal sends for ``C-c``, ``ctrl-]``, ``^C``, ``M-x``, ``Enter``, ``F5``, ``a``.

    UsageError for no known key.
    """
    lower = name.lower()
    if len(name) == 1:
        return name.encode()
    if lower in _NAMED:
        return _NAMED[lower]
    for prefix in _META:
        if lower.startswith(prefix) and len(name) > len(prefix):
            return b"\x1b" + key_bytes(name[len(prefix) :])
    for prefix in _CONTROL:
        if lower.startswith(prefix) and len(name) > len(prefix):
            return _control(name, lower[len(prefix) :])
    raise UsageError(f"key: {name!r} is no key I know; try C-c, Enter, Up, F5 or M-x", field="key")


def _control(name: str, rest: str) -> bytes:
    if rest == "space":
        return b"\0"
    if rest == "?":
        return b"\x7f"
    if len(rest) == 1 and "@" <= rest.upper() <= "_":
        return bytes([ord(rest.upper()) & 0x1F])
    raise UsageError(f"key: there is no control key {name!r}", field="key")


def parse_detach_keys(text: str) -> bytes:
    """The bytes of a sequence of keys such as ``ctrl-] d``; ``none`` gives no bytes.  UsageError naming the key."""
    if text.strip().lower() == "none":
        return b""
    return b"".join(key_bytes(word) for word in text.replace(",", " ").split())


def spell_keys(sequence: bytes) -> str:
    """The keys of a sequence as a person reads them: ``ctrl-] d``."""
    names = {value: name for name, value in _NAMED.items() if len(value) == 1}
    return " ".join(_spelled(key, names) for key in sequence.decode(errors="replace"))


def _spelled(key: str, names: dict[bytes, str]) -> str:
    code = ord(key)
    if key.encode() in names:
        return names[key.encode()]
    return f"ctrl-{chr(code | 0x40).lower()}" if code < ord(" ") else key


class DetachWatch:
    """Looks for the detach keys, and for ``~.`` at the start of a line, in what is typed.

    What may be the beginning of them is held back until it is clear; nothing else is ever changed.
    """

    def __init__(self, sequence: bytes) -> None:
        self._sequences = [(sequence, False)] if sequence else []
        self._sequences.append((b"~.", True))
        self._held = b""
        self._line_start = True

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """``(what to send on, whether to detach)``; after a detach the rest of ``data`` is dropped."""
        out = bytearray()
        for value in data:
            self._held += bytes([value])
            while self._held:
                if self._matches(whole=True):
                    return bytes(out), True
                if self._matches(whole=False):
                    break
                out += self._held[:1]
                self._line_start = self._held[:1] in b"\r\n"
                self._held = self._held[1:]
        return bytes(out), False

    def _matches(self, *, whole: bool) -> bool:
        return any(
            (self._held == sequence if whole else sequence.startswith(self._held))
            for sequence, at_line_start in self._sequences
            if self._line_start or not at_line_start
        )
