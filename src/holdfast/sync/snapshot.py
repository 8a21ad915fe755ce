"""The versioned snapshot of a channel's state; see :class:`ChannelMeta`."""

from __future__ import annotations


class ChannelMeta:
    """A channel's clock, buffers and repair times at one moment; :meth:`encode` gives its bytes."""

    __slots__ = ()

    def encode(self) -> bytes:
        """The snapshot as it is stored."""
        raise NotImplementedError
