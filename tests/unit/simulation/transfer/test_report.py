from __future__ import annotations

from holdfast.simulation.transfer.report import Report

GOOD = Report(
    ok=True,
    mismatches=0,
    first_mismatch=None,
    received=65536,
    duration_s=2.0,
    throughput_mb_s=0.032768,
    data_packets=1234,
    ack_packets=1,
    out_of_order=0,
    retransmits=0,
    pipe_high_water=1024,
    limit_share=0.5,
    limit="bandwidth",
    limit_mb_s=0.065536,
    gap_bytes=0,
    disconnects=0,
    stalls=0,
    mode="manager",
    clock="virtual",
    seed=7,
    error="",
)


def test_the_keys_scripts_rely_on() -> None:
    assert list(GOOD.as_json())[:12] == [
        "ok",
        "mismatches",
        "first_mismatch",
        "received",
        "duration_s",
        "throughput_mb_s",
        "data_packets",
        "ack_packets",
        "out_of_order",
        "retransmits",
        "pipe_high_water",
        "limit_share",
    ]
    assert GOOD.as_json()["seed"] == 7
    assert GOOD._replace(duration_s=1 / 3).as_json()["duration_s"] == 0.333333


def test_the_summary() -> None:
    assert GOOD.summary().splitlines() == [
        "result           every byte arrived, in order",
        "received         65,536 bytes (64 KiB)",
        "duration         2.000 s (virtual clock)",
        "throughput       0.03 MB/s",
        "limit            0.07 MB/s by bandwidth, 0.500 of it reached",
        "packets          1,234 data, 1 acknowledgements",
        "out of order     0",
        "retransmits      0",
        "pipe high water  1 KiB",
        "seed             7",
    ]


def test_the_summary_of_trouble() -> None:
    bad = GOOD._replace(ok=False, mismatches=2, first_mismatch=99, gap_bytes=5, disconnects=3, stalls=1)
    assert "FAILED: 2 mismatches, the first at offset 99" in bad.summary()
    assert "3, 1 of them noticed as a stall" in bad.summary()
    assert "gaps             5 bytes" in bad.summary()
    assert "FAILED: it broke" in GOOD._replace(ok=False, error="it broke").summary()
    assert "FAILED: bytes are missing" in GOOD._replace(ok=False).summary()
    instant = GOOD._replace(throughput_mb_s=None, limit=None, limit_share=None)
    assert "no time passed" in instant.summary()
    assert "limit            none" in instant.summary()
