"""The two public wires of the protocol, byte for byte."""

from __future__ import annotations

from .codec import NIM, SPEC, Decoded, Wire

__all__ = ["NIM", "SPEC", "Decoded", "Wire"]
