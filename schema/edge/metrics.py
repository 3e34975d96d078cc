"""What the edge counts for /metrics."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestMetrics:
    """Requests by kind (query, mutation, subscription, none) and outcome, and their durations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register both measures."""
        self._requests = Counter(
            "graphql_requests",
            "GraphQL requests over HTTP",
            ["kind", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "graphql_request_seconds",
            "Time from a request's first byte to its answer's last",
            ["kind"],
            buckets=_SECONDS,
            registry=registry,
        )
        # labels() costs more than counting does.
        self._counters: dict[tuple[str, str], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def count(self, kind: str, outcome: str, seconds: float) -> None:
        """Note one request that is over."""
        counter = self._counters.get((kind, outcome))
        if counter is None:
            counter = self._counters[kind, outcome] = self._requests.labels(kind, outcome)
        counter.inc()
        timer = self._timers.get(kind)
        if timer is None:
            timer = self._timers[kind] = self._seconds.labels(kind)
        timer.observe(seconds)
