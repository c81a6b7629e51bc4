"""What is put into a Pod, and how it comes off again."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.objects_strategies import env_items, labels, scope, sources
from vcproxy.core import kinds, objects, partial, pods
from vcproxy.core.audience import audience
from vcproxy.core.bodies import encode_json
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.pods import Facts

ACME = TenantId("acme")
WEB = VirtualName("web")

dns_configs = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "nameservers": st.lists(st.just("192.0.2.1"), min_size=1, max_size=2),
            "searches": st.lists(labels, min_size=1, max_size=29),
            "options": st.lists(
                st.sampled_from([{"name": "ndots", "value": "2"}, {"name": "edns0"}]), min_size=1, max_size=2
            ),
        },
    ).filter(bool),
)


@given(env=st.one_of(st.none(), st.lists(env_items, min_size=1, max_size=3, unique_by=lambda item: str(item["name"]))))
def test_variables_come_off_as_they_were_written(env: Any) -> None:
    stored = pods.env_up(copy.deepcopy(env), api=True)
    assert pods.env_up(copy.deepcopy(stored), api=True) == stored
    assert {item["name"] for item in stored} >= set(pods.VARIABLES)
    assert pods.env_down(copy.deepcopy(stored)) == env


def test_a_variable_that_a_container_sets_itself_stays_its_own() -> None:
    own = {"name": "KUBERNETES_SERVICE_HOST", "value": "192.0.2.7"}
    stored = pods.env_up([own], api=True)
    assert [item for item in stored if item["name"] == own["name"]] == [own]


def test_without_an_address_of_the_proxy_no_variable_is_added() -> None:
    assert pods.env_up(None, api=False) is None
    assert Facts().annotations(WEB) == {pods.NAMESPACE: "web"}


def test_an_address_of_the_next_internet_is_bracketed_in_the_url() -> None:
    assert Facts(host="2001:db8::1", port=8443).annotations(WEB)[pods.URL] == "tcp://[2001:db8::1]:8443"


@given(parts=st.lists(sources, max_size=4))
def test_a_projected_volume_comes_back_as_it_was_written(parts: Any) -> None:
    stored = pods.projected_up(copy.deepcopy({"sources": parts}), ACME, frozenset())
    assert pods.projected_up(copy.deepcopy(stored), ACME, frozenset()) == stored
    assert pods.projected_down(stored, ACME) == {"sources": parts}


@pytest.mark.parametrize(
    ("written", "stored"), [("", audience(ACME)), ("https://host", audience(ACME)), ("vault", "vault")]
)
def test_a_token_for_the_api_server_is_one_for_the_tenants(written: str, stored: str) -> None:
    volume = {"sources": [{"serviceAccountToken": {"audience": written, "path": "token"}}]}
    pods.projected_up(volume, ACME, frozenset({"https://host"}))
    assert volume["sources"][0]["serviceAccountToken"]["audience"] == stored


@given(policy=st.sampled_from(["ClusterFirst", "ClusterFirstWithHostNet"]), config=dns_configs)
def test_dns_comes_back_as_it_was_written(policy: str, config: Any) -> None:
    spec = {"dnsPolicy": policy, **({"dnsConfig": config} if config else {})}
    stored = pods.dns_up(copy.deepcopy(spec), ACME, WEB, "10.96.0.10")
    assert stored["dnsPolicy"] == "None"
    assert pods.dns_up(stored, ACME, WEB, "10.96.0.10") == stored
    assert pods.dns_down(stored, ACME) == spec


def test_dns_is_merged_as_the_kubelet_does() -> None:
    own = {"nameservers": ["192.0.2.1"] * 3, "searches": ["example.com"], "options": [{"name": "edns0"}]}
    config = pods.dns_up({"dnsConfig": own}, ACME, WEB, "10.96.0.10")["dnsConfig"]
    assert config["nameservers"] == ["10.96.0.10", "192.0.2.1", "192.0.2.1"]
    domain = "acme.vcproxy.local"
    assert config["searches"] == [f"web.svc.{domain}", f"svc.{domain}", domain, "example.com"]
    assert config["options"] == [{"name": "ndots", "value": "5"}, {"name": "edns0"}]


@pytest.mark.parametrize(
    "spec",
    [
        {"dnsPolicy": "Default"},
        {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}},
        {"dnsPolicy": "ClusterFirst", "hostNetwork": True},
    ],
    ids=str,
)
def test_dns_that_is_not_the_clusters_stays(spec: Any) -> None:
    assert pods.dns_up(spec, ACME, WEB, "10.96.0.10") == spec
    assert pods.dns_down(spec, ACME) == spec


def test_without_a_nameserver_dns_stays_the_hosts() -> None:
    assert pods.dns_up({"dnsPolicy": "ClusterFirst"}, ACME, WEB, "") == {"dnsPolicy": "ClusterFirst"}


def test_dns_of_another_tenant_does_not_come_off() -> None:
    stored = pods.dns_up({}, TenantId("globex"), WEB, "10.96.0.10")
    assert pods.dns_down(stored, ACME) == stored


def test_what_is_stored_is_the_same_to_both_decoders() -> None:
    """The whole Pod, decoded whole and decoded in part."""
    spec: dict[str, Any] = {
        "containers": [{"name": "c", "env": pods.env_up([{"name": "A", "value": "b"}], api=True)}, {"name": "d"}],
        "volumes": [
            {"name": "v", "projected": pods.projected_up({"sources": [{"serviceAccountToken": {}}]}, ACME, frozenset())}
        ],
        "nodeName": "n",
    }
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": "acme-web"}, "spec": spec}
    pod["spec"] = pods.dns_up(spec, ACME, WEB, "10.96.0.10")
    raw = encode_json(pod)
    shown = objects.to_view(copy.deepcopy(pod), kinds.TABLE["", "pods"], scope())
    assert shown["spec"] == {
        "containers": [{"name": "c", "env": [{"name": "A", "value": "b"}]}, {"name": "d"}],
        "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}],
        "nodeName": "n",
        "dnsPolicy": "ClusterFirst",
    }
    seen = partial.view_bytes(raw, kinds.TABLE["", "pods"], scope())
    assert b"vcproxy" not in seen
    assert encode_json(shown["spec"]["volumes"]) in seen
