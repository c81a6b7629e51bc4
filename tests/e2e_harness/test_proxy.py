"""What the harness gives vcproxy to read, and the names it gives to tenants."""

from pathlib import Path

import pytest

from e2e.cluster.host import GivenHost
from e2e.cluster.network import advertised_address
from e2e.cluster.proxy import RunningProxy, configuration, random_id
from vcproxy.config.document import parse
from vcproxy.core.names import tenant_id


@pytest.fixture
def proxy(tmp_path: Path) -> RunningProxy:
    return RunningProxy(GivenHost(tmp_path / "kubeconfig"), tmp_path)


def test_the_configuration_is_one_that_vcproxy_takes(proxy: RunningProxy) -> None:
    read = parse(configuration(proxy, {}), proxy.folder)
    assert read.listen.address == ("127.0.0.1", proxy.port)
    assert read.listen.public_url == proxy.url
    assert read.operations == ("127.0.0.1", proxy.operations_port)
    assert read.advertise_address == (advertised_address(), proxy.port)


def test_settings_of_a_test_go_over_it_section_by_section(proxy: RunningProxy) -> None:
    read = parse(configuration(proxy, {"limits": {"drain": "1s"}, "listen": {"names": ["localhost"]}}))
    assert read.limits.drain == 1.0
    assert read.listen.names == ("localhost",)
    assert read.listen.public_url == proxy.url


def test_random_ids_are_ids_and_do_not_come_twice() -> None:
    found = [random_id() for _ in range(200)]
    assert len(set(found)) == 200
    assert {tenant_id(one) for one in found} == set(found)
    assert {len(one) for one in found} == {10}


def test_a_proxy_that_does_not_run_has_no_pid_and_stops_at_once(proxy: RunningProxy) -> None:
    assert proxy.pid == 0
    assert proxy.stop_serving() == 0
    with pytest.raises(RuntimeError):
        proxy.start_serving()
