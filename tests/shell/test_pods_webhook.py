"""The webhook for pods: who gets an answer, and what the host is told."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.core.test_pods_admission import FACTS, review, written
from tests.shell.fakehost import FakeHost
from vcproxy.core.classes import Classes
from vcproxy.core.http import Reply
from vcproxy.core.status import ApiError, Status
from vcproxy.tenants import pods_webhook
from vcproxy.tenants.hostapi import HostApi

PATH = pods_webhook.secret_path(b"key")


class Posted:
    """A call with a body."""

    request_id = "r"
    upgrade = False
    certificate = b""

    def __init__(self, target: str = PATH, body: bytes = b"", method: str = "POST") -> None:
        self.target, self.method, self._body = target.encode(), method, body

    def getall(self, name: str) -> list[str]:
        return []

    def items(self) -> Iterable[tuple[str, str]]:
        return ()

    def begins(self, prefix: bytes) -> bool:
        return False

    async def read(self, limit: int) -> bytes:
        if len(self._body) > limit:
            raise ApiError(Status(413, "RequestEntityTooLarge", "too large"))
        return self._body

    def claim(self, owner: str) -> None: ...


async def answer(call: Posted) -> Reply:
    return await pods_webhook.Webhook(FACTS, lambda: PATH, lambda tenant: Classes())(call)


def told() -> dict[str, Any]:
    return pods_webhook.configuration(pods_webhook.client("https://192.0.2.10:9443", PATH, b"CA"))


@pytest.mark.parametrize("target", [PATH, PATH + "?timeout=5s"])
async def test_a_new_pod_is_answered_with_a_patch(target: str) -> None:
    reply = await answer(Posted(target, review({"object": written()})))
    response = json.loads(reply.body)["response"]
    assert (reply.code, response["allowed"], response["patchType"]) == (200, True, "JSONPatch")


async def test_a_large_pod_is_answered_too() -> None:
    pod = written()
    pod["metadata"]["annotations"]["big"] = "x" * pods_webhook.SLOW_BODY
    reply = await answer(Posted(body=review({"object": pod})))
    assert json.loads(reply.body)["response"]["patch"]


@pytest.mark.parametrize("target", ["/", "/pods/", "/pods/" + "0" * 64, PATH + "0", PATH[:-1], "/\xff"])
async def test_who_does_not_know_the_path_learns_nothing(target: str) -> None:
    reply = await answer(Posted(target, review({"object": written()})))
    assert reply.code == 404
    assert b"patch" not in reply.body


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (Posted(method="GET"), 405),
        (Posted(body=b"{}"), 400),
        (Posted(body=b"x" * (pods_webhook.BODY_LIMIT + 1)), 413),
    ],
)
async def test_what_is_no_review_is_refused(call: Posted, code: int) -> None:
    assert (await answer(call)).code == code


def test_each_key_has_a_path_of_its_own_that_does_not_tell_it() -> None:
    assert pods_webhook.secret_path(b"one") != pods_webhook.secret_path(b"two")
    assert len(PATH) == len("/pods/") + 64


def test_the_host_asks_for_pods_of_tenants_only_and_fails_closed() -> None:
    one, claims = told()["webhooks"]
    assert claims["namespaceSelector"] == one["namespaceSelector"]
    assert claims["failurePolicy"] == "Fail"
    assert [rule["resources"] for rule in claims["rules"]] == [["persistentvolumeclaims"]]
    assert one["namespaceSelector"] == {"matchExpressions": [{"key": "vcproxy.io/tenant", "operator": "Exists"}]}
    assert (one["failurePolicy"], one["sideEffects"], one["matchPolicy"]) == ("Fail", "None", "Equivalent")
    assert (one["reinvocationPolicy"], one["timeoutSeconds"]) == ("IfNeeded", pods_webhook.TIMEOUT)
    assert {resource.partition("/")[0] for rule in one["rules"] for resource in rule["resources"]} == {"pods"}


def test_the_host_finds_it_by_url_or_by_service() -> None:
    bundle = base64.b64encode(b"CA").decode()
    assert pods_webhook.client("https://192.0.2.10:9443", PATH, b"CA") == {
        "url": "https://192.0.2.10:9443" + PATH,
        "caBundle": bundle,
    }
    service = pods_webhook.Service("vcproxy-system", "vcproxy-webhook", 443)
    assert service.host == "vcproxy-webhook.vcproxy-system.svc"
    where = {"namespace": "vcproxy-system", "name": "vcproxy-webhook", "port": 443, "path": PATH}
    assert pods_webhook.client(service, PATH, b"CA") == {"service": where, "caBundle": bundle}


async def test_the_configuration_is_written_as_it_should_be_now() -> None:
    host = FakeHost()
    await pods_webhook.write(HostApi(host), told)
    found = host.find("mutatingwebhookconfigurations", "vcproxy-pods")
    assert found is not None
    assert found["webhooks"] == told()["webhooks"]
