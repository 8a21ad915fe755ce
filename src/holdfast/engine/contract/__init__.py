"""The contract suite: what every engine must do, as tests that any engine can run.

In a test module, give a fixture ``engine_factory`` (see :class:`EngineFactory`) and derive from the classes here::

    from holdfast.engine import contract

    @pytest.fixture
    def engine_factory(tmp_path):
        return lambda *, max_bytes=None: MyEngine(tmp_path, max_bytes=max_bytes)

    class TestLogs(contract.LogContract): ...
    class TestRuns(contract.RunsContract): ...
    class TestMeta(contract.MetaContract): ...
    class TestProducers(contract.ProducerContract): ...
    class TestForks(contract.ForkContract): ...
    class TestFollowing(contract.FollowContract): ...
    class TestRoom(contract.RoomContract): ...
    class TestModel(contract.ModelContract): ...
    class TestKeys(contract.KeyContract): ...
    class TestWatching(contract.WatchContract): ...
    class TestBus(contract.BusContract): ...
    class TestBlobs(contract.BlobContract): ...

Needs pytest and hypothesis.  For readable failures call
``pytest.register_assert_rewrite("holdfast.engine.contract")`` first.
"""

from __future__ import annotations

from .blobs import BlobContract
from .bus import BusContract
from .following import FollowContract
from .forks import ForkContract
from .keys import KeyContract, WatchContract
from .logs import LogContract
from .meta import MetaContract
from .model import ModelContract
from .producers import ProducerContract
from .room import RoomContract
from .runs import RunsContract
from .support import EngineFactory

__all__ = [
    "BlobContract",
    "BusContract",
    "EngineFactory",
    "FollowContract",
    "ForkContract",
    "KeyContract",
    "LogContract",
    "MetaContract",
    "ModelContract",
    "ProducerContract",
    "RoomContract",
    "RunsContract",
    "WatchContract",
]
