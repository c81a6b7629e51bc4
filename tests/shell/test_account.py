"""The account of requests: metrics as Prometheus reads them, one line for each."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vcproxy.observe.account import Account, HostTraffic, Observer


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def done(verb: str, started: float) -> Account:
    account = Account("id", "GET", started)
    account.verb, account.plan = verb, "Forward"
    return account


def test_requests_are_counted_by_verb_plan_and_code_and_timed_by_verb() -> None:
    registry = CollectorRegistry()
    observer = Observer(registry)
    observer.account(done("get", 100.0), 200, 100.004)
    observer.account(done("get", 100.0), 200, 100.3)
    observer.account(done("get", 100.0), 404, 199.0)
    found = samples(registry)
    labels = (("code", "200"), ("plan", "Forward"), ("verb", "get"))
    assert found["vcproxy_requests_total", labels] == 2
    buckets = {
        bound: found["vcproxy_request_seconds_bucket", (("le", bound), ("verb", "get"))]
        for bound in ("0.005", "0.5", "30.0", "+Inf")
    }
    assert buckets == {"0.005": 1, "0.5": 2, "30.0": 2, "+Inf": 3}
    assert found["vcproxy_request_seconds_count", (("verb", "get"),)] == 3
    assert 99.3 < found["vcproxy_request_seconds_sum", (("verb", "get"),)] < 99.4


def test_a_verb_that_a_client_made_up_is_no_label() -> None:
    registry = CollectorRegistry()
    Observer(registry).account(done("s3cret", 1.0), 405, 1.0)
    assert not any("s3cret" in str(key) for key in samples(registry))


def test_a_clock_that_goes_back_makes_no_negative_time() -> None:
    registry = CollectorRegistry()
    Observer(registry).account(done("get", 5.0), 200, 4.0)
    assert samples(registry)["vcproxy_request_seconds_sum", (("verb", "get"),)] == 0


def test_the_traffic_with_the_host_is_looked_at_when_somebody_asks() -> None:
    class Traffic:
        open, received = 3, 1234

    registry = CollectorRegistry()
    HostTraffic(registry, Traffic())
    found = samples(registry)
    assert found["vcproxy_host_connections", ()] == 3
    assert found["vcproxy_host_received_bytes_total", ()] == 1234
