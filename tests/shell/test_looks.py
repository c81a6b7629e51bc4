"""What is asked of the host about tokens: as whom, how much of an object, and what a refusal means."""

import json

import pytest

from tests.flow.scripted import Answer, ScriptedHost
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError
from vcproxy.host.looks import METADATA, Looks

ACME = TenantId("acme")


async def test_an_object_is_read_as_its_tenant_and_its_metadata_alone() -> None:
    host = ScriptedHost(
        Answer(200, {"metadata": {"uid": "u"}}), Answer(404, {}), Answer(200, {"metadata": {"uid": "n"}})
    )
    looks = Looks(host)
    assert await looks.metadata("/api/v1/namespaces/acme-a/secrets/s", ACME) == {"uid": "u"}
    assert await looks.metadata("/api/v1/namespaces/acme-a/secrets/t", ACME) is None
    assert await looks.metadata("/api/v1/nodes/n", None) == {"uid": "n"}
    assert [host.header(number, "Impersonate-User") for number in range(3)] == [*["vcproxy:tenant:acme"] * 2, None]
    assert host.header(0, "Accept") == METADATA
    assert [one.owner for one in host.requests] == ["acme", "acme", ""]


async def test_a_review_names_the_audiences() -> None:
    host = ScriptedHost(Answer(201, {"status": {"authenticated": True}}))
    assert await Looks(host).review("t", {"b", "a"}) == {"authenticated": True}
    assert json.loads(host.requests[0].body or b"")["spec"] == {"token": "t", "audiences": ["a", "b"]}


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
async def test_a_refusal_of_the_host_says_nothing_about_a_token(code: int) -> None:
    looks = Looks(ScriptedHost(*[Answer(code, {}) for _ in range(3)]))
    with pytest.raises(ApiError):
        await looks.document("/openid/v1/jwks")
    if code != 404:
        with pytest.raises(ApiError):
            await looks.metadata("/api/v1/nodes/n", None)
        with pytest.raises(ApiError):
            await looks.review("t", ())
