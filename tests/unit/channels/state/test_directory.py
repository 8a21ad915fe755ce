"""Finding and counting channels."""

from __future__ import annotations

import pytest

from holdfast.channels.state.channel import Channel
from holdfast.channels.state.directory import ChannelDirectory
from holdfast.channels.state.record import ChannelRecord
from holdfast.errors import ChannelNotFound, TooManyChannels
from holdfast.limits import LIMITS

RECORD = ChannelRecord(submitter="alice")


def filled(*ids: str) -> ChannelDirectory:
    directory = ChannelDirectory(LIMITS._replace(channels_per_process_max=2, channels_max=4))
    for one in ids:
        process, _, name = one.partition("/")
        directory.add(Channel(process, name, RECORD))
    return directory


def test_by_id_by_process_and_all() -> None:
    directory = filled("p/b", "q/a", "p/a")
    assert directory.find("p/a").id == "p/a"
    assert [channel.name for channel in directory.of("p")] == ["a", "b"]
    assert directory.of("r") == []
    assert sorted(channel.id for channel in directory) == ["p/a", "p/b", "q/a"]
    assert (len(directory), directory.processes) == (3, 2)
    assert directory.get("q", "b") is None


@pytest.mark.parametrize("text", ["", "/", "p", "p/", "/a", "a", "p/a/", "p/c", "p//a"])
def test_what_is_not_there_is_not_found(text: str) -> None:
    with pytest.raises(ChannelNotFound) as caught:
        filled("p/a").find(text)
    assert caught.value.name == text


def test_what_is_removed_is_gone_once() -> None:
    directory = filled("p/a", "p/b")
    channel = directory.find("p/a")
    directory.remove(channel)
    directory.remove(channel)
    directory.add(replacement := Channel("p", "a", RECORD))
    directory.remove(channel)
    assert directory.find("p/a") is replacement
    directory.remove(replacement)
    directory.remove(directory.find("p/b"))
    assert (len(directory), directory.processes) == (0, 0)


def test_room_counts_those_that_are_coming() -> None:
    directory = filled("p/a")
    directory.check_room("p", [])
    for coming, limit in ((["p"], "channels_per_process_max"), (["q", "r", "s"], "channels_max")):
        with pytest.raises(TooManyChannels) as caught:
            directory.check_room("p", coming)
        assert caught.value.name == limit
