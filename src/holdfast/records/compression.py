"""Compression of batches by zstd; imported when it is first used."""

from __future__ import annotations

import zstandard


class Zstd:
    """One stream's compressor and decompressor, whose contexts are made once."""

    __slots__ = ("_compress", "_decompress")

    def __init__(self, level: int) -> None:
        self._compress = zstandard.ZstdCompressor(level=level, write_content_size=True).compress
        self._decompress = zstandard.ZstdDecompressor().decompress

    def compress(self, data: bytes) -> bytes:
        """One frame, which says how long ``data`` is."""
        return self._compress(data)

    def decompress(self, data: bytes, length: int) -> bytes:
        """What the frame holds; ValueError if that is not exactly ``length`` bytes.

        The frame's own word is read first, so that nothing is made room for but what was agreed to.
        """
        try:
            said = zstandard.get_frame_parameters(data).content_size
            if said != length:
                raise ValueError(f"the frame holds {said} bytes, not {length}")
            found = self._decompress(data, max_output_size=length, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None
        if len(found) != length:
            raise ValueError(f"the frame held {len(found)} bytes, not {length}")
        return found
