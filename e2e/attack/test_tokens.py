"""Cases 13 and 15: what is no credential, or one for others, is a 401 that the host never hears of."""

import base64
import json
import time

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import Attacker, Victim, Witness, is_status
from e2e.attack.wire import codes, exchange, request

pytestmark = pytest.mark.own_host

PODS = "/api/v1/namespaces/default/pods"


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


@case(13)
@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Authorization: Bearer"],
        ["Authorization: Bearer "],
        ["Authorization: Bearer  \t"],
        ["Authorization: {token}"],
        ["Authorization: Basic {token}"],
        ["Authorization: Bearer {token} {token}"],
        ["Authorization: Bearer {token},{token}"],
        ["Authorization: Bearer {token}", "Authorization: Bearer {token}"],
        ["Authorization: Bearer x", "Authorization: Bearer {token}"],
        ["Authorization: Bearer {token}", "authorization: Bearer x"],
        ["Proxy-Authorization: Bearer {token}"],
        ["Cookie: token={token}"],
        ["X-Access-Token: {token}"],
        ["Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{encoded}, v5.channel.k8s.io"],
    ],
)
def test_what_is_not_one_bearer_token_is_401(attacker: Attacker, arrived: Witness, headers: list[str]) -> None:
    hidden = base64.urlsafe_b64encode(attacker.token.encode()).rstrip(b"=").decode()
    filled = [line.format(token=attacker.token, encoded=hidden).split(": ", 1) for line in headers]
    head = [("Host", "x"), ("User-Agent", attacker.agent), *((line[0], line[1]) for line in filled if len(line) == 2)]
    assert codes(exchange(attacker, request("GET", PODS, head), 0.6)) == [401]
    assert arrived() == []


@case(13)
def test_a_token_in_the_query_is_no_credential(attacker: Attacker, arrived: Witness) -> None:
    for name in ("access_token", "token", "bearer"):
        is_status(attacker.call("GET", f"{PODS}?{name}={attacker.token}", token=""), 401)
    assert arrived() == []


@case(15)
def test_a_token_that_was_changed_anywhere_is_401(attacker: Attacker, victim: Victim, arrived: Witness) -> None:
    head, claims, signature = attacker.token.split(".")
    heads = [
        {**decoded(head), "alg": "none"},
        {**decoded(head), "alg": "HS256"},
        {**decoded(head), "kid": "other"},
        {**decoded(head), "kid": "../../../etc/passwd"},
        {**decoded(head), "jku": "https://192.0.2.1/keys"},
        {**decoded(head), "x5u": "https://192.0.2.1/chain"},
        {**decoded(head), "crit": ["exp"]},
    ]
    now = time.time()
    changes: list[dict[str, object]] = [
        {"sub": "system:admin"},
        {"aud": "https://kubernetes.default.svc"},
        {"iss": "x"},
        {"exp": now + 1e9},
    ]
    changes += [{"nbf": now + 3600}, {"tenant": victim.id}, {"groups": ["system:masters"]}]
    tokens = [f"{encoded(one)}.{claims}.{signature}" for one in heads]
    tokens += [f"{head}.{encoded({**decoded(claims), **change})}.{signature}" for change in changes]
    tokens += [f"{encoded(heads[0])}.{claims}.", f"{head}.{claims}", f"{head}.{claims}.{signature}."]
    tokens += [f"{head}.{claims}.{victim.cluster.token.split('.')[2]}"]
    for token in tokens:
        is_status(attacker.call("GET", PODS, token=token), 401)
    assert arrived() == []


@case(15)
def test_a_token_of_the_host_is_none_of_the_proxys(attacker: Attacker, arrived: Witness, victim: Victim) -> None:
    """Such a token is of another issuer, whatever it may do on the host."""
    foreign = {"iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:kube-system:x"}
    token = f"{encoded({'alg': 'RS256', 'kid': 'x'})}.{encoded(foreign)}.{'A' * 342}"
    is_status(attacker.call("GET", PODS, token=token), 401)
    assert arrived() == []


@case(15)
def test_all_bad_tokens_are_answered_alike(attacker: Attacker) -> None:
    head, claims, signature = attacker.token.split(".")
    bad = ["x", "a.b.c", f"{encoded({'alg': 'none'})}.{claims}.", f"{head}.{claims}.{signature[::-1]}"]
    answers = {attacker.call("GET", PODS, token=token).body for token in bad}
    assert len(answers) == 1
