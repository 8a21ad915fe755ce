"""The two public wires of the protocol, byte for byte."""

from __future__ import annotations

from .codec import Decoded, Wire
from .layout import NIM, SPEC

__all__ = ["NIM", "SPEC", "Decoded", "Wire"]
