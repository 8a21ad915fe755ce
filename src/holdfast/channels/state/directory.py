"""All channels of a node, by id and by process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ChannelNotFound, TooManyChannels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...limits import Limits
    from .channel import Channel


class ChannelDirectory:
    """Finds channels, and counts them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_process: dict[str, dict[str, Channel]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Channel]:
        for channels in list(self._by_process.values()):
            yield from list(channels.values())

    @property
    def processes(self) -> int:
        """How many processes have channels."""
        return len(self._by_process)

    def add(self, channel: Channel) -> None:
        """Enter a channel whose name is free."""
        channels = self._by_process.setdefault(channel.process, {})
        assert channel.name not in channels, channel.id
        channels[channel.name] = channel
        self._count += 1

    def remove(self, channel: Channel) -> None:
        """Take a channel out; nothing happens if it is not in."""
        channels = self._by_process.get(channel.process, {})
        if channels.get(channel.name) is channel:
            del channels[channel.name]
            self._count -= 1
            if not channels:
                del self._by_process[channel.process]

    def check_room(self, process: str, coming: Sequence[str]) -> None:
        """TooManyChannels if the process, or the node, has as many as it may.

        ``coming``: the processes of channels that are being made.
        """
        there = len(self._by_process.get(process, ())) + coming.count(process)
        for name, limit, value in (
            ("channels_per_process_max", self._limits.channels_per_process_max, there + 1),
            ("channels_max", self._limits.channels_max, self._count + len(coming) + 1),
        ):
            if value > limit:
                raise TooManyChannels(name=name, limit=limit, value=value)

    def find(self, text: str) -> Channel:
        """The channel with that id, ``<process>/<name>``.  ChannelNotFound."""
        process, _, name = text.rpartition("/")
        channel = self.get(process, name)
        if channel is None:
            raise ChannelNotFound(name=text)
        return channel

    def get(self, process: str, name: str) -> Channel | None:
        """The channel ``name`` of ``process``."""
        channels = self._by_process.get(process)
        return None if channels is None else channels.get(name)

    def of(self, process: str) -> list[Channel]:
        """The channels of a process, by name."""
        return [channel for _, channel in sorted(self._by_process.get(process, {}).items())]
