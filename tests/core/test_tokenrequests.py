"""TokenRequests: which audiences a token gets, what the answer says, and what a token may be bound to."""

import json
from typing import Any

import pytest

from vcproxy.core import tokenrequests
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

ACME = TenantId("acme")
OWN = "https://acme.vcproxy.local"
HOST = frozenset({"https://kubernetes.default.svc", "https://host"})


@pytest.mark.parametrize(
    ("written", "stored", "shown"),
    [
        (None, [OWN], [OWN]),
        ([], [OWN], [OWN]),
        (["https://host"], [OWN], ["https://host"]),
        (["https://host", "https://kubernetes.default.svc"], [OWN], ["https://host", "https://kubernetes.default.svc"]),
        (["vault"], ["vault"], ["vault"]),
        (["vault", "https://host"], ["vault", OWN], ["vault", "https://host"]),
    ],
)
def test_the_hosts_audience_is_the_tenants(written: Any, stored: list[str], shown: list[str]) -> None:
    body = {"spec": {"audiences": written, "expirationSeconds": 600}, "status": {"token": "x"}}
    sent, audiences = tokenrequests.up(body, ACME, HOST)
    assert sent == {"spec": {"audiences": stored, "expirationSeconds": 600}}
    answer = json.dumps({**sent, "status": {"token": "y"}}).encode()
    assert json.loads(tokenrequests.answered(answer, audiences))["spec"]["audiences"] == shown


@pytest.mark.parametrize("body", [{}, {"spec": None}, {"spec": {}}])
def test_a_request_without_a_spec_never_reaches_the_host_without_an_audience(body: dict[str, Any]) -> None:
    assert tokenrequests.up(body, ACME, HOST)[0]["spec"]["audiences"] == [OWN]


@pytest.mark.parametrize(
    "spec", ["x", {"audiences": "https://host"}, {"audiences": [7]}, {"audiences": {"a": 1}}, {"boundObjectRef": "x"}]
)
def test_odd_bodies_are_refused(spec: Any) -> None:
    with pytest.raises(ApiError) as caught:
        tokenrequests.up({"spec": spec}, ACME, HOST)
    assert caught.value.status.code == 400


@pytest.mark.parametrize("kind", ["Pod", "Secret", "Node"])
def test_a_token_may_be_bound_to_what_a_tenant_has(kind: str) -> None:
    bound = {"apiVersion": "v1", "kind": kind, "name": "a", "uid": "b"}
    assert tokenrequests.up({"spec": {"boundObjectRef": bound}}, ACME, HOST)[0]["spec"]["boundObjectRef"] == bound


def test_a_token_is_bound_to_nothing_else() -> None:
    bound = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
    with pytest.raises(ApiError, match="cannot bind token to object of type apps/v1, Kind=Deployment"):
        tokenrequests.up({"spec": {"boundObjectRef": bound}}, ACME, HOST)
