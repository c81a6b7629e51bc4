"""Cases 26 and 40: the proxy shows its own inside to nobody, and tells no secret to its log."""

import base64
import urllib.error
import urllib.request

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, Victim, Witness, is_status
from e2e.cluster.proxy import RunningProxy

pytestmark = pytest.mark.own_host

INSIDE = [
    "/metrics",
    "/debug/pprof/",
    "/debug/flags/v",
    "/logs/",
    "/configz",
    "/statusz",
    "/flagz",
    "/relay",
    "/webhook",
]
HEALTH = ["/livez", "/readyz", "/healthz"]


@case(40)
@pytest.mark.parametrize("target", INSIDE)
def test_a_tenant_is_shown_nothing_of_the_inside(attacker: Attacker, arrived: Witness, target: str) -> None:
    for method in ("GET", "POST"):
        is_status(attacker.call(method, target), 404, 405)
        is_status(attacker.call(method, target, token=""), 401, 404)
    assert arrived() == []


@case(40)
@pytest.mark.parametrize(
    "target", [*HEALTH, "/version", "/api", "/apis", "/openapi/v2", "/.well-known/openid-configuration"]
)
def test_without_a_credential_only_health_answers(attacker: Attacker, arrived: Witness, target: str) -> None:
    answer = attacker.call("GET", target, token="")
    assert answer.code == 401 or (target in HEALTH and answer.code == 200)
    assert arrived() == []


@case(40)
def test_the_port_for_operations_has_health_and_figures_and_takes_no_orders(proxy: RunningProxy) -> None:
    for path in ("/debug/pprof", "/quitquitquit", "/", "/token", "/config"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{proxy.operations_url}{path}", timeout=5)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(urllib.request.Request(f"{proxy.operations_url}/livez", b"x", method="POST"), timeout=5)


@case(26)
def test_no_log_and_no_figure_holds_a_secret(attacker: Attacker, victim: Victim, proxy: RunningProxy) -> None:
    secret = "s3cr3t-of-this-test"
    attacker.call(
        "POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"k": secret}}
    )
    attacker.call("GET", "/api/v1/namespaces/default/secrets/s")
    attacker.call("GET", f"/api/v1/namespaces/default/pods?access_token={attacker.token}")
    attacker.call("GET", "/api/v1/pods", token=attacker.token + "x")
    hidden = base64.urlsafe_b64encode(attacker.token.encode()).rstrip(b"=").decode()
    protocol = {"Sec-WebSocket-Protocol": f"base64url.bearer.authorization.k8s.io.{hidden}", "Upgrade": "websocket"}
    attacker.call("GET", "/api/v1/namespaces/default/pods/x/exec", headers={**protocol, "Connection": "Upgrade"})
    signature = attacker.token.rpartition(".")[2]
    told = proxy.log.read_text(errors="replace") + proxy.metrics()
    for needle in (secret, base64.b64encode(secret.encode()).decode(), signature, hidden, victim.needle):
        assert needle not in told
    assert attacker.call("DELETE", "/api/v1/namespaces/default/secrets/s").code == 200
