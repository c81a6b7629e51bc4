"""The host's API in a few verbs: what is sent, and what a refusal becomes."""

import msgspec
import pytest

from tests.shell.fakehost import Answer, json_answer, refused
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.status import ApiError, bad_gateway
from vcproxy.tenants.hostapi import HostApi, HostError, path_of


class Recording:
    def __init__(self, *answers: Answer | ApiError) -> None:
        self.answers = list(answers)
        self.requests: list[HostRequest] = []

    async def send(self, request: HostRequest) -> HostResponse:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("v1", "namespaces"), "/api/v1/namespaces"),
        (("v1", "namespaces", "", "acme-web"), "/api/v1/namespaces/acme-web"),
        (("v1", "pods", "acme-web"), "/api/v1/namespaces/acme-web/pods"),
        (
            ("rbac.authorization.k8s.io/v1", "rolebindings", "acme-web", "vcproxy:tenant"),
            "/apis/rbac.authorization.k8s.io/v1/namespaces/acme-web/rolebindings/vcproxy:tenant",
        ),
        (("vcproxy.io/v1alpha1", "tenants", "", "acme", "status"), "/apis/vcproxy.io/v1alpha1/tenants/acme/status"),
        (("v1", "configmaps", "a", "../b?c"), "/api/v1/namespaces/a/configmaps/..%2Fb%3Fc"),
    ],
)
def test_paths_are_those_of_kubernetes(arguments: tuple[str, ...], path: str) -> None:
    assert path_of(*arguments) == path


async def test_apply_and_merge_say_what_they_are() -> None:
    host = Recording(json_answer(200, {}), json_answer(200, {}))
    api = HostApi(host, timeout=3.0)
    await api.apply("/x", {"a": 1})
    await api.merge("/y", {"b": 2})
    apply, merge = host.requests
    assert apply.target == "/x?fieldManager=vcproxy-controller&force=true"
    assert dict(apply.headers)["Content-Type"] == "application/apply-patch+yaml"
    assert dict(merge.headers)["Content-Type"] == "application/merge-patch+json"
    assert (apply.timeout, apply.body) == (3.0, b'{"a":1}')


async def test_absence_is_none_and_other_refusals_are_raised() -> None:
    api = HostApi(Recording(refused(404, "NotFound"), refused(403, "Forbidden", "why"), bad_gateway()))
    assert await api.get("/x") is None
    with pytest.raises(HostError, match="403 Forbidden: why"):
        await api.get("/x")
    with pytest.raises(ApiError):
        await api.get("/x")


@pytest.mark.parametrize(("code", "body"), [(500, b"not json"), (200, b"[]"), (200, b"{"), (502, b"[1]")])
async def test_answers_that_are_no_object_are_errors_and_closed(code: int, body: bytes) -> None:
    answer = Answer(code, [body])
    with pytest.raises(HostError):
        await HostApi(Recording(answer)).get("/x")
    assert answer.closed


async def test_deletion_is_idempotent_and_bound_to_the_object() -> None:
    host = Recording(json_answer(200, {}), refused(404, "NotFound"), refused(409, "Conflict"), refused(409, "Conflict"))
    api = HostApi(host)
    await api.delete("/x", "uid-1")
    await api.delete("/x")
    await api.delete("/x", "uid-1")
    with pytest.raises(HostError):
        await api.delete("/x")
    assert msgspec.json.decode(host.requests[0].body or b"")["preconditions"] == {"uid": "uid-1"}


async def test_lists_come_page_by_page() -> None:
    pages = (
        json_answer(200, {"metadata": {"continue": "c1"}, "items": [{"a": 1}]}),
        json_answer(200, {"metadata": {}, "items": [{"a": 2}]}),
    )
    host = Recording(*pages)
    found = [item async for item in HostApi(host).items("/x", {"labelSelector": "l"})]
    assert found == [{"a": 1}, {"a": 2}]
    assert host.requests[1].target == "/x?labelSelector=l&limit=500&continue=c1"
