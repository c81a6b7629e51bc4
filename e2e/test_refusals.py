"""Every refusal is one Status with the right code, in the tenant's words, and nothing of it arrives at the host."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.client import Answer, Client
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.scan import leaks
from e2e.witness import AuditLog

pytestmark = pytest.mark.own_host

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
NAMESPACES = "/api/v1/namespaces"


@pytest.fixture(scope="module")
def tenant(tenant_factory: Callable[[], TenantCluster]) -> TenantCluster:
    return tenant_factory()


@pytest.fixture(scope="module")
def client(tenant: TenantCluster) -> Client:
    return Client(tenant.kubeconfig)


class Witness:
    """What arrived at the host under a tenant's identity, by the host's own audit log."""

    def __init__(self, log: AuditLog, tenant: str) -> None:
        self._log, self._tenant = log, tenant
        self._at = log.mark()

    def arrived(self) -> list[str]:
        user = f"vcproxy:tenant:{self._tenant}"
        found = self._log.since(self._at)
        return [f"{one.verb} {one.uri}" for one in found if one.acted_as == user or self._tenant in one.uri]


@pytest.fixture
def witness(control_plane: ControlPlane, tenant: TenantCluster) -> Witness:
    return Witness(AuditLog(control_plane), tenant.id)


def is_status(answer: Answer, code: int, reason: str = "") -> None:
    document = answer.document
    assert answer.code == code, answer.body
    assert document["kind"] == "Status"
    assert document["code"] == code
    assert document["message"]
    assert not reason or document["reason"] == reason


def unsigned(token: str) -> str:
    """The token with alg=none and no signature."""
    _, payload, _ = token.split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{header}.{payload}."


def tampered(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "somebody-else"
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{changed}.{signature}"


def test_bad_credentials_are_401(client: Client, witness: Witness) -> None:
    bad = ["", "x", "a.b.c", unsigned(client.token), tampered(client.token), client.token[:-4], client.token + "x"]
    for token in bad:
        is_status(client.call("GET", PODS, headers={"Authorization": f"Bearer {token}"}), 401, "Unauthorized")
    is_status(client.call("GET", PODS, token="", headers={}), 401)
    is_status(client.call("GET", PODS, headers={"Authorization": f"Basic {client.token}"}), 401)
    is_status(client.call("GET", f"{PODS}?access_token={client.token}", token=""), 401)
    assert witness.arrived() == []


def test_two_authorization_headers_are_401(client: Client, witness: Witness) -> None:
    connection = client.connect()
    connection.putrequest("GET", PODS)
    for _ in range(2):
        connection.putheader("Authorization", f"Bearer {client.token}")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 401
    connection.close()
    assert witness.arrived() == []


def test_another_user_than_an_administrator_is_403(
    tenant: TenantCluster, proxy: RunningProxy, control_plane: ControlPlane, client: Client
) -> None:
    issued = proxy.cli("token", "issue", tenant.id, "--user", "bob", "--group", "readers", "-o", "json").stdout
    token = json.loads(issued)["token"]
    proxy.wait_known(tenant.id, token)
    witness = Witness(AuditLog(control_plane), tenant.id)
    answer = client.call("GET", PODS, token=token)
    is_status(answer, 403, "Forbidden")
    wanted = 'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"'
    assert answer.document["message"] == wanted
    assert witness.arrived() == []
    who = client.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token).document
    assert who["status"]["userInfo"]["username"] == "bob"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/namespaces/default/../kube-system/secrets",
        "/api/v1/namespaces/%2e%2e/secrets",
        "/api/v1/namespaces/default%2fpods",
        "/api/v1/namespaces/a%252fb/pods",
        "/api/v1/namespaces/a%5cb/pods",
        "/api/v1//pods",
        "/api/v1/namespaces/a%00b/pods",
        "/api/v1/namespaces/%ff/pods",
        "/api/v1/namespaces/a;b/pods",
        "/api/v1/pods?watch=1&watch=0",
        "/api/v1/pods?labelSelector=a&labelSelector=b",
        "/api/v1/pods?labelSelector=a=b=c",
        "/api/v1/pods?fieldSelector=metadata.name",
        "/api/v1/pods?limit=%zz",
        "/api/v1/pods?limit=x",
        "/api/v1/pods?continue=abc",
    ],
)
def test_what_is_not_canonical_is_400(client: Client, witness: Witness, target: str) -> None:
    is_status(client.call("GET", target), 400, "BadRequest")
    assert witness.arrived() == []


@pytest.mark.parametrize(
    "path",
    [
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        "/apis/shadow.vcproxy.io/v1/namespaces/default/roles",
        "/apis/resource.k8s.io/v1/devicetaintrules",
        "/apis/vcproxy.io/v1alpha1/tenants",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests",
        "/api/v1/nodes/x/proxy",
        "/api/v1/nodes/x/proxy/run/default/pod/container",
        "/api/v1/namespaces/default/nodes",
        "/api/v1/pods/x",
        "/apis/apps/v2/deployments",
        "/metrics",
        "/debug/pprof",
        "/logs",
    ],
)
def test_hidden_things_are_404(client: Client, witness: Witness, path: str) -> None:
    is_status(client.call("GET", path), 404, "NotFound")
    assert witness.arrived() == []


@pytest.mark.parametrize(
    ("method", "target", "body", "media", "code"),
    [
        ("POST", MAPS, b"", "", 400),
        ("POST", MAPS, b"{", "", 400),
        ("POST", MAPS, b"[]", "", 400),
        ("POST", MAPS, b'"x"', "", 400),
        ("POST", MAPS, b'{"metadata":{"name":"a","namespace":"default","namespace":"default"}}', "", 400),
        ("POST", MAPS, b'{"metadata":{"name":"a"},"metadata":{"name":"a"}}', "", 400),
        ("POST", MAPS, b'{"metadata":{"name":"a"}} {}', "", 400),
        ("POST", MAPS, b'{"metadata":{"name":"\xff"}}', "", 400),
        ("POST", MAPS, b'{"metadata":{"name":"a"},"data":{"x":"\\ud800"}}', "", 400),
        ("POST", MAPS, b'{"metadata":{"name":"a"},"data":NaN}', "", 400),
        ("POST", MAPS, b'{"a":' * 3000 + b"1" + b"}" * 3000, "", 400),
        ("POST", MAPS, b"[" * 100000, "", 400),
        ("POST", MAPS, b"a: &a [1]\nb: [*a" + b",*a" * 200 + b"]", "application/yaml", 400),
        ("POST", MAPS, b"a: 1\n---\nb: 2\n", "application/yaml", 400),
        ("POST", MAPS, b"k8s\x00\xff\xff", "application/vnd.kubernetes.protobuf", 400),
        ("POST", MAPS, b"x" * (3 * 1024 * 1024 + 1), "", 413),
        ("POST", MAPS, b"{}", "text/plain", 415),
        ("POST", MAPS, b"{}", "application/cbor", 415),
        ("PATCH", f"{MAPS}/x", b"{}", "application/json", 415),
        ("POST", MAPS, {"kind": "Secret", "metadata": {"name": "a"}}, "", 400),
        ("POST", MAPS, {"apiVersion": "v2", "metadata": {"name": "a"}}, "", 400),
        ("POST", MAPS, {"metadata": {"name": "a", "namespace": "web"}}, "", 400),
        ("PUT", f"{MAPS}/a", {"metadata": {"name": "b"}}, "", 400),
        ("POST", MAPS, {"metadata": {"name": "a", "labels": {"vcproxy.io/tenant": "x"}}}, "", 403),
        ("POST", MAPS, {"metadata": {"name": "a", "annotations": {"vcproxy.io/x": "x"}}}, "", 403),
        ("POST", NAMESPACES, {"metadata": {"name": "a" * 62}}, "", 422),
        ("POST", NAMESPACES, {"metadata": {"generateName": "a" * 58}}, "", 422),
        ("POST", NAMESPACES, {"metadata": {"name": "vcproxy"}}, "", 403),
        (
            "POST",
            NAMESPACES,
            {"metadata": {"name": "a", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
            "",
            403,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/secrets",
            {"metadata": {"name": "t"}, "type": "kubernetes.io/service-account-token"},
            "",
            403,
        ),
        ("DELETE", f"{NAMESPACES}/default", None, "", 403),
        ("DELETE", f"{NAMESPACES}/kube-system", None, "", 403),
        ("DELETE", f"{NAMESPACES}/kube-public", None, "", 403),
        ("DELETE", NAMESPACES, None, "", 405),
        ("POST", "/api/v1/pods", {"metadata": {"name": "a"}}, "", 405),
        ("GET", "/api/v1/namespaces/default/pods/x/eviction", None, "", 405),
        ("PUT", PODS, {"metadata": {"name": "a"}}, "", 405),
        ("OPTIONS", PODS, None, "", 405),
        ("POST", "/api/v1/namespaces/nope/configmaps", {"metadata": {"name": "a"}}, "", 404),
        ("GET", "/api/v1/namespaces/nope/configmaps/a", None, "", 404),
        ("GET", "/api/v1/namespaces/vcproxy/configmaps/a", None, "", 404),
    ],
)
def test_bad_requests_never_reach_the_host(
    client: Client, witness: Witness, method: str, target: str, body: Any, media: str, code: int
) -> None:
    answer = client.call(method, target, body, headers={"Content-Type": media} if media else {})
    is_status(answer, code)
    arrived = [line for line in witness.arrived() if "nope" not in line]  # whether a namespace exists is asked
    assert arrived == []


def test_names_too_long_name_the_limit(client: Client, tenant: TenantCluster) -> None:
    answer = client.call("POST", NAMESPACES, {"metadata": {"name": "a" * 62}})
    assert str(63 - len(tenant.id) - 1) in answer.document["message"]


def test_nothing_acceptable_is_406(client: Client, witness: Witness) -> None:
    for accept in ("application/vnd.kubernetes.protobuf", "text/html", "application/json;as=Made;v=v1;g=x"):
        is_status(client.call("GET", PODS, headers={"Accept": accept}), 406, "NotAcceptable")
    assert witness.arrived() == []


def test_headers_of_identity_never_pass(client: Client, control_plane: ControlPlane, tenant: TenantCluster) -> None:
    bad = {
        "Impersonate-User": "system:admin",
        "Impersonate-Group": "system:masters",
        "X-Remote-User": "system:admin",
        "X-Remote-Group": "system:masters",
        "X-Forwarded-For": "192.0.2.99",
        "Connection": "Impersonate-User, Authorization",
    }
    log = AuditLog(control_plane)
    at = log.mark()
    assert client.call("GET", MAPS, headers=bad).code == 403
    for one in log.since(at):
        assert one.acted_as != "system:admin"
        assert "192.0.2.99" not in one.line


def test_a_tunnel_is_asked_for_as_one(client: Client, witness: Witness) -> None:
    for part in ("exec", "attach", "portforward"):
        is_status(client.call("GET", f"{PODS}/x/{part}"), 400, "BadRequest")
    assert witness.arrived() == []


def test_a_header_whose_name_another_reader_could_spell_differently_is_refused(client: Client) -> None:
    is_status(client.call("GET", MAPS, headers={"Impersonate_User": "system:admin"}), 400, "BadRequest")


def test_bytes_that_are_no_http_get_one_status_and_the_end(client: Client) -> None:
    for raw in (b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", b"GET /s3cret\x01 HTTP/1.1\r\n\r\n"):
        with client.tls_socket() as connection:
            connection.settimeout(5)
            connection.sendall(raw)
            received = b"".join(iter(lambda c=connection: c.recv(65536), b""))  # type: ignore[misc]
        head, _, body = received.partition(b"\r\n\r\n")
        assert b" 400 " in head.split(b"\r\n")[0]
        assert json.loads(body)["kind"] == "Status"
        assert b"s3cret" not in received
        assert b"aiohttp" not in received.lower()


def test_content_length_with_transfer_encoding_is_refused(client: Client, witness: Witness) -> None:
    raw = (
        f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\nContent-Length: 5\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET {PODS} HTTP/1.1\r\n\r\n"
    ).encode()
    with client.tls_socket() as connection:
        connection.settimeout(5)
        connection.sendall(raw)
        received = connection.recv(65536)
    assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert witness.arrived() == []


def test_unknown_suspended_and_deleted_tenants_are_refused_alike(
    tenant_factory: Callable[[], TenantCluster], proxy: RunningProxy
) -> None:
    suspended, gone = tenant_factory(), tenant_factory()
    first, second = Client(suspended.kubeconfig), Client(gone.kubeconfig)
    proxy.cli("tenant", "suspend", suspended.id)
    gone.delete()
    answers = [_eventually(one, 403) for one in (first, second)]
    assert answers[0].body == answers[1].body
    proxy.cli("tenant", "resume", suspended.id)
    assert _eventually(first, 200).code == 200


def _eventually(client: Client, code: int) -> Answer:
    """The answer once it has the code, or the last one after 5 seconds."""
    for _ in range(50):
        answer = client.call("GET", PODS)
        if answer.code == code:
            break
        time.sleep(0.1)
    return answer


def test_a_revoked_token_is_refused_within_5_seconds_and_its_watch_ends(
    tenant: TenantCluster, proxy: RunningProxy, client: Client
) -> None:
    issued = json.loads(proxy.cli("token", "issue", tenant.id, "-o", "json").stdout)
    other = Client(tenant.kubeconfig)
    other.token = issued["token"]
    assert other.call("GET", PODS).code == 200
    start = time.monotonic()
    events = other.events("/api/v1/configmaps?watch=1&timeoutSeconds=60", timeout=30)
    assert next(events)["type"] == "ADDED"
    proxy.cli("token", "revoke", tenant.id, issued["id"])
    assert _eventually(other, 401).code == 401
    list(events)
    assert time.monotonic() - start < 20
    assert client.call("GET", PODS).code == 200


def test_no_refusal_names_the_host(client: Client, tenant: TenantCluster) -> None:
    assert len(client.received) > 100
    assert leaks(client.received, (f"{tenant.id}-", f"tenant:{tenant.id}")) == []
