"""Every engine of ours against the one contract."""

from __future__ import annotations

from holdfast.engine import contract


class TestLogs(contract.LogContract):
    """Logs."""


class TestRuns(contract.RunsContract):
    """Logs of blobs."""


class TestMeta(contract.MetaContract):
    """Meta, and appends that close."""


class TestProducers(contract.ProducerContract):
    """Appends with a sequence."""


class TestForks(contract.ForkContract):
    """Logs that begin as others do."""


class TestFollowing(contract.FollowContract):
    """Followers."""


class TestRoom(contract.RoomContract):
    """Full stores."""


class TestModel(contract.ModelContract):
    """Random lives."""


class TestKeys(contract.KeyContract):
    """Keys."""


class TestWatching(contract.WatchContract):
    """Watchers."""


class TestBus(contract.BusContract):
    """The bus."""


class TestBlobs(contract.BlobContract):
    """Blobs."""
