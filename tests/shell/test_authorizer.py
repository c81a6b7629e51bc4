"""The authorizer: admins may, others hear it in the API server's words."""

import pytest

from tests.policies import KeptPolicies
from vcproxy.access.authorizer import attributes
from vcproxy.access.rights import CallerRights
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.rbac import Attributes
from vcproxy.core.request import parse
from vcproxy.core.status import ApiError

ADMIN = Caller(TenantId("acme"), "uid", "ann", ("dev", "tenant:admin"))
BOB = Caller(TenantId("acme"), "uid", "bob", ("dev",))


def authorize(caller: Caller, asked: Attributes) -> None:
    CallerRights(KeptPolicies(), caller, lambda: 0.0).authorize(asked)


def denied(asked: Attributes, caller: Caller = BOB) -> str:
    with pytest.raises(ApiError) as caught:
        authorize(caller, asked)
    assert (caught.value.status.code, caught.value.status.reason) == (403, "Forbidden")
    return caught.value.status.message


def of(method: str, target: bytes) -> Attributes:
    return attributes(parse(method, target))


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        (
            "GET",
            b"/api/v1/namespaces/default/pods/x",
            'pods "x" is forbidden: User "bob" cannot get resource "pods" in API group "" in the namespace "default"',
        ),
        (
            "GET",
            b"/api/v1/pods",
            'pods is forbidden: User "bob" cannot list resource "pods" in API group "" at the cluster scope',
        ),
        (
            "POST",
            b"/apis/apps/v1/namespaces/web/deployments",
            'deployments.apps is forbidden: User "bob" cannot create resource "deployments" in API group "apps" '
            'in the namespace "web"',
        ),
        (
            "GET",
            b"/api/v1/namespaces/web/pods/x/log",
            'pods "x" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in the namespace "web"',
        ),
        (
            "DELETE",
            b"/api/v1/namespaces/web",
            'namespaces "web" is forbidden: User "bob" cannot delete resource "namespaces" in API group "" '
            'in the namespace "web"',
        ),
        (
            "GET",
            b"/api/v1/namespaces",
            'namespaces is forbidden: User "bob" cannot list resource "namespaces" in API group "" '
            "at the cluster scope",
        ),
        ("GET", b"/metrics", 'forbidden: User "bob" cannot get path "/metrics"'),
        ("POST", b"/version", 'forbidden: User "bob" cannot post path "/version"'),
    ],
)
def test_a_refusal_has_the_words_of_the_api_server(method: str, target: bytes, message: str) -> None:
    asked = of(method, target)
    assert denied(asked) == message
    authorize(ADMIN, asked)


def test_a_refusal_tells_the_object_in_its_details() -> None:
    with pytest.raises(ApiError) as caught:
        authorize(BOB, of("GET", b"/apis/apps/v1/namespaces/web/deployments/d"))
    assert caught.value.status.details == {"name": "d", "group": "apps", "kind": "deployments"}


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/apis",
        "/apis/apps",
        "/apis/apps/v1",
        "/openapi/v2",
        "/openapi/v3/api/v1",
        "/version",
        "/livez",
    ],
)
def test_discovery_is_open_to_every_user(path: str) -> None:
    authorize(BOB, Attributes("get", path=path))


def test_reviews_of_oneself_are_open_to_every_user() -> None:
    authorize(BOB, of("POST", b"/apis/authentication.k8s.io/v1/selfsubjectreviews"))
    authorize(BOB, of("POST", b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"))
    denied(of("POST", b"/apis/authorization.k8s.io/v1/subjectaccessreviews"))
    denied(of("POST", b"/apis/authentication.k8s.io/v1/tokenreviews"))


@pytest.mark.parametrize("group", ["tenant:admins", "tenant:admin ", "system:master", "TENANT:ADMIN"])
def test_groups_that_look_like_the_admins_are_not_they(group: str) -> None:
    denied(Attributes("get", resource="pods"), Caller(TenantId("acme"), "uid", "eve", (group,)))


def test_names_are_quoted_as_go_does_and_sanitized_as_the_api_server_does() -> None:
    eve = Caller(TenantId("acme"), "uid", 'e"v\\\n<e>&\x01\u2028\U000e0001é')
    assert denied(Attributes("get", path="/x"), eve) == (
        'forbidden: User "e\\"v\\\\\\n&lt;e&gt;&amp;\\x01\\u2028\\U000e0001é" cannot get path "/x"'
    )
