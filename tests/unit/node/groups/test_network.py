from __future__ import annotations

import pytest

from holdfast.errors import UsageError
from holdfast.limits import LIMITS
from holdfast.node.groups.network import address_of, check_spec, udp_of
from holdfast.sync.groups import GroupSpec
from holdfast.sync.transports.memory import MemoryNetwork

KEY = b"k" * 32


def test_a_good_one_is_itself() -> None:
    for spec in (
        GroupSpec(name="ops", me="alice", bus=True),
        GroupSpec(name="ops", me="alice", multicast="239.192.7.3:7946", interface="127.0.0.1", ttl=3),
        GroupSpec(name="ops", me="alice", listen="[::1]:0", peers=["[::1]:7946"], profile="interop-nim", dialect="nim"),
    ):
        assert check_spec(spec, LIMITS, b"" if spec.bus else KEY) is spec


@pytest.mark.parametrize(
    ("spec", "key", "field"),
    [
        (GroupSpec(name="a b", me="x", bus=True), b"", "spec.name"),
        (GroupSpec(name="a", me="x/y", bus=True), b"", "spec.me"),
        (GroupSpec(name="a", me="x"), b"", "spec"),
        (GroupSpec(name="a", me="x", bus=True, multicast="239.192.7.3:7946"), b"", "spec"),
        (GroupSpec(name="a", me="x", multicast="239.192.7.3:7946", peers=["127.0.0.1:1"]), b"", "spec.peers"),
        (GroupSpec(name="a", me="x", listen="127.0.0.1:0", peers=["[::1]:1"]), b"", "peers"),
        (GroupSpec(name="a", me="x", multicast="239.192.7.3:7946", ttl=-1), b"", "ttl"),
        (GroupSpec(name="a", me="x", multicast="239.192.7.3:7946", interface="eth0"), b"", "interface"),
        (GroupSpec(name="a", me="x", listen="127.0.0.1:0", profile="moon"), b"", "profile"),
        (GroupSpec(name="a", me="x", listen="127.0.0.1:0"), b"short", "key"),
        (GroupSpec(name="a", me="x", bus=True), KEY, "key"),
    ],
)
def test_a_bad_one_is_named(spec: GroupSpec, key: bytes, field: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_spec(spec, LIMITS, key)
    assert caught.value.field == field


def test_addresses_are_written_as_they_are_given() -> None:
    for listen in ("127.0.0.1:7946", "[::1]:7946"):
        assert address_of(udp_of(GroupSpec(name="a", me="x", listen=listen), LIMITS, b"")) == listen
    assert address_of(MemoryNetwork().transport()) == address_of(None) == ""
