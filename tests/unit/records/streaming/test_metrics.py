from __future__ import annotations

from holdfast.records.streaming.metrics import StreamMetrics, Ticker


def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    ticker = Ticker(0.5, 10.0)
    assert [ticker.due(now) for now in (10.0, 10.4, 10.5, 10.9, 11.2)] == [True, False, True, False, True]
    assert ticker.due(11.2, last=True)


def test_metrics_are_read_by_name() -> None:
    metrics = StreamMetrics(answered=5, failed=2)
    assert metrics.succeeded == 3
    assert metrics.as_dict()["answered"] == 5
