"""One account per request: a log line and the metrics, made once, at the end of its way."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

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


class _Times:
    """How long requests of one verb took."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0


class Observer(Collector):
    """Counts requests and writes their log lines. Labels are bounded: verbs, plans and codes, never names.

    The counts are plain numbers, made into metrics when somebody asks: the loop is one thread and needs no locks.
    """

    def __init__(self, registry: CollectorRegistry, log: RequestLog | None = None) -> None:
        self._request_log = log
        self._requests: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, _Times] = {}
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("vcproxy_requests", "Requests answered.", labels=("verb", "plan", "code"))
        for (verb, plan, code), count in self._requests.items():
            requests.add_metric((verb, plan, str(code)), count)
        yield requests
        seconds = HistogramMetricFamily(
            "vcproxy_request_seconds", "Seconds to the answer's head or whole body.", labels=("verb",)
        )
        for verb, times in self._times.items():
            bounds = [*map(floatToGoString, _BUCKETS), "+Inf"]
            counts = [float(count) for count in accumulate(times.counts)]
            seconds.add_metric((verb,), list(zip(bounds, counts, strict=True)), times.total)
        yield seconds

    def account(self, account: Account, code: int, now: float) -> None:
        """Take one finished request into the account; `now` is in seconds since the epoch."""
        verb = account.verb if account.verb in _VERBS else "other"
        key = verb, account.plan, code
        self._requests[key] = self._requests.get(key, 0) + 1
        times = self._times.get(verb)
        if times is None:
            times = self._times[verb] = _Times()
        took = max(0.0, now - account.started)
        times.counts[bisect_left(_BUCKETS, took)] += 1
        times.total += took
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
