from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import UsageError
from holdfast.simulation.transfer.options import StreamOptions, check_options

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", {"mode": "reader"}),
        ("clock", {"clock": "sundial"}),
        ("size", {"size": -1}),
        ("delay", {"delay_s": -0.1}),
        ("skew", {"skew_s": -0.1}),
        ("skew", {"delay_s": 0.1, "skew_s": 0.2}),
        ("window", {"window": 0}),
        ("packet", {"packet": 0}),
        ("packet", {"packet": MIB}),
        ("loss", {"loss": 0.95}),
        ("duplicate", {"duplicate": -0.1}),
        ("slow-reader", {"slow_reader": -1.0}),
        ("bandwidth", {"bandwidth": -1.0}),
        ("disconnect-every", {"disconnect_every_s": -1.0}),
        ("disconnect-every", {"disconnect_every_s": 0.04, "delay_s": 0.01}),
    ],
)
def test_what_makes_no_sense_is_named(option: str, value: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^--{option}: ") as caught:
        check_options(StreamOptions(**value))
    assert caught.value.field == option


def test_what_limits_a_transfer() -> None:
    assert StreamOptions().limit() is None
    assert StreamOptions(delay_s=0.01, window=65536).limit() == ("window/rtt", 3276800.0)
    assert StreamOptions(delay_s=0.01, window=65536, bandwidth=1e6).limit() == ("bandwidth", 1e6)
    assert StreamOptions(delay_s=0.01, bandwidth=1e9, slow_reader=5.0).limit() == ("slow-reader", 5.0)


def test_an_automatic_window_gets_a_ring_that_holds_what_the_link_does() -> None:
    assert StreamOptions(window=None).ring_bytes == 2 * MIB
    assert StreamOptions(window=None, delay_s=0.1).ring_bytes == 16 * MIB
    assert StreamOptions(window=None, delay_s=0.1, bandwidth=100e6).ring_bytes == 40_000_000
    assert StreamOptions(window=None, delay_s=10.0, bandwidth=100e6).ring_bytes == 256 * MIB
    assert StreamOptions(window=4 * MIB).ring_bytes == 8 * MIB


def test_packets_suit_the_window() -> None:
    assert StreamOptions(window=65536).packet_bytes == 65536
    assert StreamOptions(window=65536, bandwidth=1e6).packet_bytes == 16384
    assert StreamOptions(window=None).packet_bytes == 16384
    assert StreamOptions(window=MIB).packet_bytes == 65536
    assert StreamOptions(window=1, bandwidth=1.0).packet_bytes == 1
    assert StreamOptions(packet=5).packet_bytes == 5
