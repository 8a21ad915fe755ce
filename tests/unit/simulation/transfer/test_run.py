from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import UsageError
from holdfast.simulation.transfer.options import MODES, REAL, StreamOptions
from holdfast.simulation.transfer.run import run_stream
from holdfast.streams import Data, Reader

MIB = 1024 * 1024


def run(**options: Any) -> Any:
    report = run_stream(StreamOptions(**options))
    assert report.ok, report.summary()
    assert report.received == options.get("size", 10 * MIB)
    return report


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"delay_s": 0.01, "skew_s": 0.01},
        {"delay_s": 0.01, "loss": 0.1, "duplicate": 0.1, "skew_s": 0.005, "packet": 4096},
        {"delay_s": 0.01, "disconnect_every_s": 0.1},
        {"delay_s": 0.01, "disconnect_every_s": 0.1, "slow_reader": 1e6},
        {"delay_s": 0.01, "half_open": True},
        {"size": 100_000, "half_open": True, "slow_reader": 1e6},
        {"delay_s": 0.01, "half_open": True, "disconnect_every_s": 0.2, "loss": 0.05},
        {"delay_s": 0.05, "window": None, "bandwidth": 20e6},
        {"delay_s": 0.05, "window": None},
        {"slow_reader": 1e6, "window": 1000},
        {"size": 0},
        {"size": 1},
    ],
    ids=str,
)
def test_every_byte_arrives(mode: str, faults: dict[str, Any]) -> None:
    run(mode=mode, **{"size": MIB, **faults})


def test_one_seed_one_report() -> None:
    options = StreamOptions(size=MIB, delay_s=0.01, skew_s=0.01, loss=0.05, duplicate=0.05, packet=5000, seed=9)
    assert run_stream(options) == run_stream(options)
    assert run_stream(options) != run_stream(options._replace(seed=10))


def test_a_skewed_window_reaches_its_limit() -> None:
    assert run(size=100 * MIB, delay_s=0.01, skew_s=0.005).limit_share >= 0.95


@pytest.mark.parametrize(("rtt_s", "size"), [(0.010, 100 * MIB), (0.050, 200 * MIB)])
def test_an_automatic_window_fills_the_link(rtt_s: float, size: int) -> None:
    assert run(size=size, delay_s=rtt_s / 2, window=None, bandwidth=100e6).limit_share >= 0.95


def test_faults_are_counted() -> None:
    report = run(size=MIB, delay_s=0.01, disconnect_every_s=0.1)
    assert report.disconnects > 0
    assert report.stalls == 0
    report = run(size=MIB, delay_s=0.01, half_open=True)
    assert (report.disconnects, report.stalls) == (1, 1)
    assert report.duration_s > 15
    report = run(size=MIB, delay_s=0.01, skew_s=0.01, window=256 * 1024, packet=4096, loss=0.01)
    assert report.out_of_order > 0
    assert report.retransmits > 0
    assert report.pipe_high_water > 200_000


def test_a_slow_reader_sets_the_pace() -> None:
    report = run(size=MIB, slow_reader=1e6)
    assert report.limit == "slow-reader"
    assert report.limit_share == pytest.approx(1.0, rel=0.03)


def test_what_happens_is_told() -> None:
    said: list[str] = []
    progress: list[int] = []
    samples: list[tuple[float, int]] = []
    run_stream(
        StreamOptions(size=200_000, delay_s=0.01, disconnect_every_s=0.05),
        log=said.append,
        progress=progress.append,
        samples=samples,
    )
    assert "connected stream 1 from offset 0" in said[0]
    assert any("disconnected" in line for line in said)
    assert said[-1].endswith("reader: End(offset=200000)")
    assert progress[-1] == 200_000
    assert max(size for _, size in samples) > 65_536


def test_in_real_time() -> None:
    report = run(size=MIB, clock=REAL, delay_s=0.0001)
    assert report.throughput_mb_s > 0


def test_a_wrong_byte_fails_the_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Reader.receive_data

    def flip(self: Reader, packet: Data, now: float) -> None:
        if packet.seq == 131_072:
            payload = bytearray(packet.payload)
            payload[5] ^= 1
            packet = packet._replace(payload=payload)
        receive(self, packet, now)

    monkeypatch.setattr(Reader, "receive_data", flip)
    report = run_stream(StreamOptions(size=MIB, seed=1))
    assert not report.ok
    assert (report.mismatches, report.first_mismatch) == (1, 131_077)


def test_a_transfer_that_cannot_go_on_fails_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "receive_data", lambda self, packet, now: None)
    report = run_stream(StreamOptions(size=MIB, delay_s=0.01))
    assert not report.ok
    assert "nothing arrived for 300 s" in report.error


def test_even_without_any_acknowledgement_reconnects_get_it_across(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "next_ack", lambda self: None)
    report = run_stream(StreamOptions(size=200_000, delay_s=0.01))
    assert report.received == 200_000
    assert report.stalls > 0


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="--loss"):
        run_stream(StreamOptions(loss=2.0))
