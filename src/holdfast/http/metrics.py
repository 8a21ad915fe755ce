"""What the node tells Prometheus.  Every figure is read when it is asked for; nothing is collected meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Figure(NamedTuple):
    """One family of values, as the node reads it off its parts."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: list[tuple[tuple[str, ...], float]]
    counts: bool = False
    """It only grows, as long as the node runs."""


class _Figures(Collector):
    def __init__(self, read: Callable[[], Iterable[Figure]]) -> None:
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for figure in self._read():
            make = CounterMetricFamily if figure.counts else GaugeMetricFamily
            family = make(figure.name, figure.help, labels=figure.labels)
            for labels, value in figure.values:
                family.add_metric(labels, value)
            yield family


class Metrics:
    """The figures of one node, and of its HTTP door."""

    def __init__(self, read: Callable[[], Iterable[Figure]]) -> None:
        """``read`` gives the node's own figures of the moment."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(read))
        self._requests = Counter(
            "holdfast_http_requests", "Answers to stream requests.", ("method", "status"), registry=self._registry
        )
        self._sent = Counter("holdfast_http_sent_bytes", "Body bytes of streams sent.", registry=self._registry)
        self._open = Gauge("holdfast_http_requests_open", "Stream requests under way.", registry=self._registry)

    def render(self) -> tuple[bytes, str]:
        """The text format, and its content type."""
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

            with self._open.track_inprogress():
                await app(scope, receive, watch)

        return counted
