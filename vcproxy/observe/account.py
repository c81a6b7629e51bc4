"""One account per request: a log line and the metrics, made once, at the end of its way."""

from collections.abc import Iterator
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vcproxy.observe.logs import RequestLog

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_VERBS: Final = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})


class Account:
    """What is known of a request so far; each step of the way fills in what it learned."""

    __slots__ = ("method", "plan", "request_id", "resource", "started", "tenant", "user", "verb")

    def __init__(self, request_id: str, method: str, started: float) -> None:
        self.request_id = request_id
        self.method = method
        self.started = started
        self.verb = ""
        self.resource = ""
        self.tenant = ""
        self.user = ""
        self.plan = ""


class Traffic(Protocol):
    """What is counted of the connections to the host."""

    @property
    def open(self) -> int: ...

    @property
    def received(self) -> int: ...


class HostTraffic(Collector):
    """The connections to the host as metrics, looked at when somebody asks."""

    def __init__(self, registry: CollectorRegistry, traffic: Traffic) -> None:
        self._traffic = traffic
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        bytes_read = CounterMetricFamily("vcproxy_host_received_bytes", "Bytes of answers that the host sent.")
        bytes_read.add_metric((), self._traffic.received)
        yield bytes_read
        yield GaugeMetricFamily("vcproxy_host_connections", "Open connections to the host.", value=self._traffic.open)


class Observer:
    """Counts requests and writes their log lines. Labels are bounded: verbs, plans and codes, never names."""

    def __init__(self, registry: CollectorRegistry, log: RequestLog | None = None) -> None:
        self._request_log = log
        self._requests = Counter(
            "vcproxy_requests_total", "Requests answered.", ("verb", "plan", "code"), registry=registry
        )
        self._seconds = Histogram(
            "vcproxy_request_seconds",
            "Seconds to the answer's head or whole body.",
            ("verb",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def account(self, account: Account, code: int, now: float) -> None:
        """Take one finished request into the account; `now` is in seconds since the epoch."""
        verb = account.verb if account.verb in _VERBS else "other"
        key = verb, account.plan, code
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(verb, account.plan, str(code))
        counter.inc()
        timer = self._timers.get(verb)
        if timer is None:
            timer = self._timers[verb] = self._seconds.labels(verb)
        timer.observe(max(0.0, now - account.started))
        if self._request_log is not None:
            self._log(self._request_log, account, code, now)

    def _log(self, log: RequestLog, account: Account, code: int, now: float) -> None:
        message = f"{account.verb or account.method} {account.resource or '-'} {code}"
        fields = {
            "request_id": account.request_id,
            "tenant": account.tenant,
            "user": account.user,
            "plan": account.plan,
            "seconds": round(now - account.started, 6),
        }
        log.put(now, message, fields)
