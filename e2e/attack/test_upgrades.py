"""Cases 5, 8 and 22: a switch of protocols that is refused opens nothing, for nobody."""

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness
from e2e.attack.wire import bearing, codes, exchange, request

pytestmark = pytest.mark.own_host

EXEC = "/api/v1/namespaces/default/pods/x/exec?command=id&stdout=1"
SWITCHES = {
    "websocket": [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Protocol", "v5.channel.k8s.io"),
    ],
    "spdy": [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
    ],
}


@pytest.fixture(params=list(SWITCHES))
def switch(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    return SWITCHES[request.param]


@case(5)
def test_behind_a_refused_switch_nothing_is_a_request(
    attacker: Attacker, victim: Victim, arrived: Witness, switch: list[tuple[str, str]]
) -> None:
    """The second request is what an attacker hopes will go straight to the host on an open connection."""
    first = request("GET", EXEC, bearing(attacker, ("User-Agent", attacker.agent), *switch))
    second = request(
        "GET", f"/api/v1/namespaces/{victim.id}-{VAULT}/secrets", [("Host", "x"), ("Impersonate-User", "system:admin")]
    )
    answered = codes(exchange(attacker, first + second))
    assert len(answered) == 1
    assert answered[0] in (400, 403, 404)
    assert not any(victim.id in one.uri for one in arrived())


@case(5)
@pytest.mark.parametrize("target", ["/api/v1/namespaces/default/configmaps", "/version", "/api/v1/nodes/x/proxy/exec"])
def test_only_tunnels_switch_protocols(
    attacker: Attacker, arrived: Witness, switch: list[tuple[str, str]], target: str
) -> None:
    first = request("GET", target, bearing(attacker, ("User-Agent", attacker.agent), *switch))
    second = request("GET", "/api/v1/secrets", bearing(attacker, ("User-Agent", attacker.agent)))
    answered = codes(exchange(attacker, first + second))
    assert 101 not in answered
    assert not any(one.verb == "connect" for one in arrived())


@case(8)
@pytest.mark.parametrize("part", ["exec", "attach", "portforward"])
def test_who_may_not_create_may_not_open_a_tunnel_by_get(
    reader: Attacker, arrived: Witness, switch: list[tuple[str, str]], part: str
) -> None:
    target = EXEC.replace("exec", part)
    raw = request("GET", target, bearing(reader, ("User-Agent", reader.agent), *switch))
    assert codes(exchange(reader, raw)) == [403]
    assert arrived() == []


@case(22)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "file://"])
def test_a_page_of_another_site_opens_no_tunnel(attacker: Attacker, arrived: Witness, origin: str) -> None:
    head = bearing(attacker, ("User-Agent", attacker.agent), *SWITCHES["websocket"], ("Origin", origin))
    assert codes(exchange(attacker, request("GET", EXEC, head))) == [403]
    assert arrived() == []
