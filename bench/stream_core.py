"""The stream core, alone and through ``holdfast sim stream``: ``python -m bench.stream_core [--quick]``.

The peer is a bare ring in a loop: a slice in, a copy out, no offsets, windows, acknowledgements or checks.
Figures in virtual time do not depend on the machine; they vary with the seed, so they are medians over seeds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

from bench.figures import Figure
from bench.report import table
from holdfast.simulation.transfer.options import REAL, StreamOptions
from holdfast.simulation.transfer.run import run_stream
from holdfast.streams import OutputSender, Reader, RingBuffer

KIB = 1024
MIB = 1024 * KIB
WINDOW = 64 * KIB
RUNS = 5
DELAY_S, SKEW_S = 0.01, 0.005
BANDWIDTH = 100e6
ROUND_TRIPS = ((0.010, 100 * MIB), (0.050, 400 * MIB), (0.200, 1600 * MIB))
"""Round trip, and a size that takes long enough for its first few round trips not to decide."""


def figures(quick: bool) -> list[Figure]:
    """All figures of this topic; ``quick`` moves less data."""
    size = (100 if quick else 500) * MIB
    return [
        through_the_tool(size),
        *(core(packet * KIB, size) for packet in (4, 16, 64)),
        skewed(None, 20 * MIB if quick else 100 * MIB, 0.95),
        skewed(16 * KIB, 20 * MIB if quick else 100 * MIB, None),
        *(autotuned(rtt_s, max(50 * MIB, amount // 2) if quick else amount) for rtt_s, amount in ROUND_TRIPS),
    ]


def through_the_tool(size: int) -> Figure:
    """Generator, sender, pipe, reader, verifier: every byte made, moved and compared, on the machine's clock."""
    options = StreamOptions(size=size, clock=REAL)

    def tool() -> float:
        report = run_stream(options)
        assert report.ok
        assert report.throughput_mb_s is not None
        return report.throughput_mb_s

    return against_bare_ring("tool, manager mode, no delay, 64 KiB window", tool, 64 * KIB, size, 1000)


def core(packet: int, size: int) -> Figure:
    """Sender and reader back to back, nothing between them and nothing checked."""
    name = f"sender to reader, {packet // KIB} KiB packets"
    return against_bare_ring(name, lambda: back_to_back(packet, size), packet, size, None)


def skewed(packet: int | None, size: int, goal: float | None) -> Figure:
    """A fixed window over 10 ms ± 5 ms each way: how much of window / round trip is reached."""
    shares = []
    for seed in range(RUNS):
        options = StreamOptions(size=size, delay_s=DELAY_S, skew_s=SKEW_S, window=WINDOW, packet=packet, seed=seed)
        shares.append(share_of(options))
    packets = "one packet to a window" if packet is None else f"{packet // KIB} KiB packets"
    return share_figure(f"64 KiB window, 10 ms ± 5 ms, {packets}", shares, goal, "window / round trip")


def autotuned(rtt_s: float, size: int) -> Figure:
    """The measured window over a path of 100 MB/s, the first round trips included."""
    shares = [
        share_of(StreamOptions(size=size, delay_s=rtt_s / 2, window=None, bandwidth=BANDWIDTH, seed=seed))
        for seed in range(RUNS)
    ]
    name = f"window autotuned, 100 MB/s, {rtt_s * 1000:.0f} ms round trip, {size // MIB} MiB"
    return share_figure(name, shares, 0.95, "bandwidth")


def share_of(options: StreamOptions) -> float:
    """The share of its limit that a transfer reached."""
    report = run_stream(options)
    assert report.ok
    assert report.limit_share is not None
    return report.limit_share


def share_figure(name: str, shares: list[float], goal: float | None, limit: str) -> Figure:
    value = statistics.median(shares)
    return {
        "name": name,
        "value": round(value, 3),
        "unit": "of the limit",
        "goal": None if goal is None else f">= {goal}",
        "reached": None if goal is None else value >= goal,
        "peer": limit,
        "peer_value": 1.0,
        "ratio": round(value, 3),
        "runs": len(shares),
    }


def against_bare_ring(name: str, ours: Callable[[], float], packet: int, size: int, goal: float | None) -> Figure:
    """MB/s of ``ours`` beside the bare ring's, run by turns."""
    pairs = [(ours(), bare_ring(packet, size)) for _ in range(RUNS)]
    value = statistics.median(mine for mine, _ in pairs)
    return {
        "name": name,
        "value": round(value),
        "unit": "MB/s",
        "goal": goal,
        "reached": None if goal is None else value >= goal,
        "peer": f"bare ring loop, {packet // KIB} KiB",
        "peer_value": round(statistics.median(bare for _, bare in pairs)),
        "ratio": round(statistics.median(mine / bare for mine, bare in pairs), 3),
        "runs": RUNS,
        "note": f"{packet / value:.2f} µs per packet",
    }


def back_to_back(packet: int, size: int) -> float:
    """MB/s of a sender and a reader with nothing between them."""
    sender = OutputSender(
        RingBuffer(2 * MIB), window_bytes=WINDOW, packet_bytes=packet, packet_bytes_max=packet, autotune=False
    )
    reader = Reader(1, window_bytes=WINDOW)
    sender.connect(1, WINDOW, 0, 0.0)
    chunk = bytes(packet)
    received = 0
    began = time.perf_counter()
    while received < size:
        while sender.write(chunk) == packet:
            pass
        while (data := sender.next_packet(0.0)) is not None:
            reader.receive_data(data, 0.0)
            while (item := reader.read()) is not None:
                received += len(item.data)  # type: ignore[union-attr] # only chunks come here
            ack = reader.next_ack()
            if ack is not None:
                sender.receive_ack(ack, 0.0)
    return received / (time.perf_counter() - began) / 1e6


def bare_ring(packet: int, size: int) -> float:
    """MB/s of a ring in a loop: what Python's slices allow."""
    capacity = 2 * MIB
    ring = memoryview(bytearray(capacity))
    chunk = bytes(packet)
    offset = received = 0
    began = time.perf_counter()
    while received < size:
        start = offset % capacity
        ring[start : start + packet] = chunk
        data = bytes(ring[start : start + packet])
        offset += packet
        received += len(data)
    return received / (time.perf_counter() - began) / 1e6


if __name__ == "__main__":
    measured = figures("--quick" in sys.argv)
    for figure in measured:
        print(json.dumps(figure, ensure_ascii=False))
    print(table("stream_core", measured))
