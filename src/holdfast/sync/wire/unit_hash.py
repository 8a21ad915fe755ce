"""MurmurHash3 as the JavaScript implementation has it for ids that are not ASCII.

It hashes the UTF-16 units of a string as if each were a byte, of a character beyond the first plane only the first
unit; units above 255 run into their neighbours.  For ASCII that is the usual hash, which a library computes.
"""

from __future__ import annotations

_MASK = 0xFFFF_FFFF
_C1, _C2 = 0xCC9E_2D51, 0x1B87_3593


def murmur_of_units(text: str) -> int:
    """The signed 32-bit hash of ``text``."""
    units = [_unit(character) for character in text]
    whole = len(units) // 4 * 4
    value = 0
    for start in range(0, whole, 4):
        value ^= _mixed(units[start : start + 4])
        value = (_rotated(value, 13) * 5 + 0xE654_6B64) & _MASK
    value ^= _mixed(units[whole:]) ^ len(units)
    value = (value ^ value >> 16) * 0x85EB_CA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2_AE35 & _MASK
    value ^= value >> 16
    return value - (value >> 31 << 32)


def _unit(character: str) -> int:
    point = ord(character)
    return point if point < 0x1_0000 else 0xD800 + (point - 0x1_0000 >> 10)


def _mixed(units: list[int]) -> int:
    word = 0
    for unit in reversed(units):
        word = (word << 8 & _MASK) | unit
    return _rotated(word * _C1 & _MASK, 15) * _C2 & _MASK


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _MASK
