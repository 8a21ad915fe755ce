"""What the node tells Prometheus.  Every figure is read when it is asked for; nothing is collected meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Figure(NamedTuple):
    """One family of values, as the node reads it off its parts."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Sequence[tuple[tuple[str, ...], float]]
    counts: bool = False
    """It only grows, as long as the node runs."""

    def family(self) -> Metric:
        """As Prometheus has it."""
        make = CounterMetricFamily if self.counts else GaugeMetricFamily
        family = make(self.name, self.help, labels=self.labels)
        for labels, value in self.values:
            family.add_metric(labels, value)
        return family


class Distribution(NamedTuple):
    """One histogram: bounds, infinity last, each with how many values were not above it; and their sum."""

    name: str
    help: str
    buckets: list[tuple[float, int]]
    sum: float

    def family(self) -> Metric:
        """As Prometheus has it."""
        buckets = [("+Inf" if bound == float("inf") else f"{bound:g}", float(count)) for bound, count in self.buckets]
        family = HistogramMetricFamily(self.name, self.help)
        family.add_metric((), buckets, self.sum)
        return family


ReadFigures = Callable[[], AsyncIterator[Figure | Distribution]]


class _Read(Collector):
    """What was read a moment ago."""

    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        yield from self.families


class Metrics:
    """The figures of one node, and of its HTTP door."""

    def __init__(self, read: ReadFigures) -> None:
        """``read`` gives the node's own figures of the moment."""
        self._read = read
        self._found = _Read()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._found)
        self._requests = Counter(
            "holdfast_http_requests", "Answers to stream requests.", ("method", "status"), registry=self._registry
        )
        self._resumed = Counter(
            "holdfast_http_resumed", "Event streams that their readers came back to.", registry=self._registry
        )
        self._sent = Counter("holdfast_http_sent_bytes", "Body bytes of streams sent.", registry=self._registry)
        self._open = Gauge("holdfast_http_requests_open", "Stream requests under way.", registry=self._registry)

    async def render(self) -> tuple[bytes, str]:
        """The text format, and its content type."""
        families = [figure.family() async for figure in self._read()]
        self._found.families = families  # and now without waiting, so that two who ask do not mix
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def counting(self, app: ASGIApp) -> ASGIApp:
        """``app``, its answers counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def watch(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._requests.labels(scope["method"], str(message["status"])).inc()
                else:
                    self._sent.inc(len(message.get("body", b"")))
                await send(message)

            if scope["method"] == "GET" and any(name == b"last-event-id" for name, _ in scope["headers"]):
                self._resumed.inc()
            with self._open.track_inprogress():
                await app(scope, receive, watch)

        return counted
