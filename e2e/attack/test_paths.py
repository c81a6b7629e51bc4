"""Cases 7 and 9 to 12: paths and queries that another reader would read in another way, or that lead elsewhere."""

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness, is_status
from e2e.attack.wire import bearing, codes, exchange, request

pytestmark = pytest.mark.own_host

SPACES = "/api/v1/namespaces"


@case(9)
@pytest.mark.parametrize("odd", ["..", ".", ";x", "%00", "%2e%2e", "%2f", "%252f", "%5c", "%ff", "a%2fb", "%c0%ae"])
@pytest.mark.parametrize(
    "target", ["/api/v1/namespaces/{}/secrets/x", "/api/v1/namespaces/default/secrets/{}", "/apis/{}/v1/deployments"]
)
def test_a_path_that_is_not_canonical_arrives_nowhere(
    attacker: Attacker, arrived: Witness, target: str, odd: str
) -> None:
    is_status(attacker.call("GET", target.format(odd)), 400, 404)
    assert arrived() == []


@case(9)
def test_no_path_climbs_into_the_victims_namespaces(attacker: Attacker, victim: Victim, arrived: Witness) -> None:
    host = f"{victim.id}-{VAULT}"
    for name in (f"../{host}", f"..%2f{host}", f"x/../{host}", f"%2e%2e/{host}", f"..;/{host}", f"..%5c{host}"):
        for method in ("GET", "DELETE"):
            is_status(attacker.call(method, f"{SPACES}/{name}/secrets/treasure"), 400, 404)
    assert not any(f"/{host}/" in one.uri for one in arrived())


@case(10)
@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/namespaces/default/nodes",
        "/api/v1/namespaces/default/nodes/node-0",
        "/api/v1/namespaces/default/persistentvolumes",
        "/api/v1/namespaces/default/namespaces/kube-system",
        "/apis/storage.k8s.io/v1/namespaces/default/storageclasses",
        "/apis/apiextensions.k8s.io/v1/namespaces/default/customresourcedefinitions",
        "/api/v1/pods/safe",
        "/api/v1/secrets/treasure",
        "/apis/apps/v1/deployments/x",
        "/apis/apps/v1/deployments/x/scale",
    ],
)
def test_a_kind_at_the_wrong_scope_is_not_there(attacker: Attacker, arrived: Witness, target: str) -> None:
    for method in ("GET", "DELETE"):
        is_status(attacker.call(method, target), 404, 405)
    assert arrived() == []


@case(11)
@pytest.mark.parametrize(
    "query",
    [
        "fieldSelector=metadata.namespace=kube-system",
        "fieldSelector=metadata.namespace!=x",
        "fieldSelector=",
        "labelSelector=",
        "labelSelector=vcproxy.io/tenant",
        "labelSelector=vcproxy.io/tenant=kube",
        "labelSelector=!vcproxy.io/hidden",
        "labelSelector=vcproxy.io/hidden",
        "labelSelector=a&labelSelector=b",
        "fieldSelector=a=b&fieldSelector=c=d",
        "labelSelector=a;labelSelector=b",
        "labelSelector=%zz",
        "fieldSelector=metadata.name",
        "labelSelector=,",
        "limit=1&limit=2",
        "LabelSelector=x",
        "pretty=1;watch=1",
    ],
)
def test_no_selector_leads_out_of_the_tenant(attacker: Attacker, arrived: Witness, query: str) -> None:
    for kind in ("secrets", "namespaces/default/secrets", "namespaces"):
        answer = attacker.call("GET", f"/api/v1/{kind}?{query}")
        if answer.code != 200:
            is_status(answer, 400)
    for one in arrived():
        inside = f"/namespaces/{attacker.tenant}-" in one.uri or f"vcproxy.io%2Ftenant%3D{attacker.tenant}" in one.uri
        assert inside, one.uri


@case(11)
def test_a_selector_on_the_victims_namespace_selects_nothing(attacker: Attacker, victim: Victim) -> None:
    for space in (f"{victim.id}-{VAULT}", victim.id, f"{attacker.tenant}-default", "kube-system,metadata.namespace=x"):
        answer = attacker.call("GET", f"/api/v1/secrets?fieldSelector=metadata.namespace={space}")
        assert answer.code in (200, 400)
        assert answer.code == 400 or answer.document["items"] == []


@case(12)
@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/secrets?watch=1&watch=0",
        "/api/v1/secrets?watch=True",
        "/api/v1/secrets?watch=TRUE",
        "/api/v1/secrets?watch=t",
        "/api/v1/secrets?watch",
        "/api/v1/watch/secrets",
        "/api/v1/watch/namespaces/default/secrets",
        "/api/v1/watch/namespaces/default/secrets/treasure",
        "/api/v1/watch/namespaces",
        "/api/v1/namespaces/default/secrets/treasure?watch=1",
        "/api/v1/secrets?watch=1&fieldSelector=metadata.name=treasure",
        "/api/v1/pods?watch=1",
        "/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    ],
)
def test_every_spelling_of_a_watch_shows_only_the_tenants_objects(
    attacker: Attacker, arrived: Witness, target: str
) -> None:
    whole = target + ("&" if "?" in target else "?") + "timeoutSeconds=1"
    answer = attacker.call("GET", whole)  # what it may not hold is looked for after each test
    assert answer.code in (200, 400, 404, 405)
    for one in arrived():
        assert one.acted_as == f"vcproxy:tenant:{attacker.tenant}" or "vcproxy.io%2Ftenant" in one.uri, one.line


@case(7)
@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/nodes/node-0/proxy",
        "/api/v1/nodes/node-0/proxy/run/default/pod/container",
        "/api/v1/nodes/node-0:10250/proxy/pods",
        "/api/v1/nodes/https:127.0.0.1:6443/proxy/",
        "/api/v1/proxy/nodes/node-0",
        "/api/v1/proxy/namespaces/default/services/x",
    ],
)
def test_the_proxy_of_nodes_is_not_there(attacker: Attacker, arrived: Witness, target: str) -> None:
    for method in ("GET", "POST"):
        is_status(attacker.call(method, target), 404)
    assert arrived() == []


@case(7)
def test_proxies_of_services_and_pods_lead_to_the_tenants_own_only(
    attacker: Attacker, victim: Victim, arrived: Witness
) -> None:
    host = f"{victim.id}-{VAULT}"
    targets = [
        f"{SPACES}/{host}/pods/safe/proxy/",
        f"{SPACES}/{host}/services/https:kubernetes:443/proxy/",
        f"{SPACES}/default/services/kubernetes.{host}/proxy/",
        f"{SPACES}/default/pods/safe.{host}/proxy/",
        f"{SPACES}/default/services/https:kubernetes:443/proxy/../../../{host}/secrets",
        f"{SPACES}/default/services/https:kubernetes:443/proxy/%2e%2e/secrets",
        f"{SPACES}/default/pods/127.0.0.1:6443/proxy/",
        f"{SPACES}/default/pods/https:169.254.169.254:80/proxy/latest",
    ]
    for target in targets:
        assert attacker.call("GET", target).code in (400, 403, 404, 502, 503)
    for one in arrived():
        assert one.uri.startswith(f"{SPACES}/{attacker.tenant}-"), one.uri


@case(7, 23)
@pytest.mark.parametrize(
    "target",
    ["https://evil.example/api/v1/nodes", "http://127.0.0.1:10250/pods", "//evil.example/api", "evil.example:443", "*"],
)
def test_a_target_that_is_no_path_is_refused(attacker: Attacker, arrived: Witness, target: str) -> None:
    received = exchange(attacker, request("GET", target, bearing(attacker, ("User-Agent", attacker.agent))), 0.6)
    assert set(codes(received)) == {400}
    assert arrived() == []
