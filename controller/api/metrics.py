"""``/metrics``: what the API counts itself, and what the services measure, in Prometheus' text format."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.api.house import Measures

disable_created_metrics()  # type: ignore[no-untyped-call]  # all series begin with the process: when says nothing
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class _Services(Collector):
    """Asks the services at each scrape."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for measure in self._measures():
            family = families.get(measure.name)
            if family is None:
                made = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
                family = families[measure.name] = made(measure.name, measure.help, labels=tuple(measure.labels))
            family.add_metric(tuple(measure.labels.values()), measure.value)  # type: ignore[attr-defined]
        return families.values()


class Metrics:
    """A registry of its own per app, so that several may live in one process."""

    def __init__(self, measures: Measures) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Services(measures))
        self._requests = Counter(
            "patchbay_http_requests", "Requests answered", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "patchbay_http_request_seconds", "Time to answer", ("route",), buckets=BUCKETS, registry=self._registry
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.  ``route``: its template, never its path, so that the labels stay few."""
        key = (method, route, status)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = (self._requests.labels(method, route, str(status)), self._seconds.labels(route))
        found[0].inc()
        found[1].observe(seconds)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)
