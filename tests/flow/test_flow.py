"""The way of a request as traces: what a client asks, what the host sees, what the client gets."""

import json
import time
from typing import Any

import pytest

from tests.flow.scripted import ACME, Answer, ScriptedCall, World, refusal
from vcproxy.core.view import Phase
from vcproxy.host import lists

PODS = "/api/v1/namespaces/web/pods"
HOST_PODS = "/api/v1/namespaces/acme-web/pods"
VISIBLE = "labelSelector=%21vcproxy.io%2Fhidden"


async def test_a_get_goes_out_as_the_tenant_and_comes_back_in_its_names() -> None:
    world = World(Answer(200, {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "acme-web"}}))
    code, pod = await world.ask("GET", f"{PODS}/a")
    assert world.host.asked == [f"GET {HOST_PODS}/a"]
    assert world.host.header(0, "Impersonate-User") == "vcproxy:tenant:acme"
    assert world.host.header(0, "Impersonate-Group") == "vcproxy:tenants"
    assert world.host.header(0, "Impersonate-Extra-vcproxy.io%2Fuser") == "ann"
    assert (code, pod["metadata"]) == (200, {"name": "a", "namespace": "web"})


async def test_a_create_goes_up_and_its_answer_down() -> None:
    stored = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "acme-web"}}
    world = World(Answer(201, stored, warning='299 - "in acme-web"'))
    reply = await world.reply("POST", f"{PODS}?fieldManager=me&made=up", {"metadata": {"name": "a"}})
    assert world.host.asked == [f"POST {HOST_PODS}?fieldManager=me"]
    assert world.host.body()["metadata"] == {"name": "a", "namespace": "acme-web"}
    assert reply.code == 201
    assert ("Warning", '299 - "in web"') in reply.headers


@pytest.mark.parametrize("limit", ["a", "-1", "%C2%B2", "1" * 5000, "%D9%A1"])
async def test_a_limit_that_is_no_number_of_the_api_servers_is_refused(limit: str) -> None:
    world = World()
    code, found = await world.ask("GET", f"/api/v1/pods?limit={limit}")
    assert (code, found["reason"], world.host.asked) == (400, "BadRequest", [])


async def test_headers_of_identity_and_the_clients_own_never_pass() -> None:
    world = World(Answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}))
    acting = {"Impersonate_User": "root", "Impersonate_Group": "tenant:admin"}
    await world.ask("GET", PODS, **acting, X_Remote_User="root", Cookie="a=b", User_Agent="kubectl/1.37")
    assert world.host.header(0, "Impersonate-User") == "vcproxy:tenant:acme"
    sent = {key for key, _ in world.host.requests[0].headers}
    assert sent == {
        "Accept",
        "User-Agent",
        "Impersonate-User",
        "Impersonate-Group",
        "Impersonate-Extra-vcproxy.io%2Fuser",
    }


async def test_a_list_over_all_namespaces_is_consistent() -> None:
    def part(namespace: str, name: str) -> Answer:
        item = {"metadata": {"name": name, "namespace": f"acme-{namespace}"}}
        return Answer(
            200, {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [item]}
        )

    world = World(part("default", "a"), part("web", "b"))
    code, pods = await world.ask("GET", "/api/v1/pods")
    assert world.host.asked == [
        f"GET /api/v1/namespaces/acme-default/pods?{VISIBLE}",
        f"GET {HOST_PODS}?{VISIBLE}&resourceVersion=7&resourceVersionMatch=Exact",
    ]
    assert (code, pods["metadata"]) == (200, {"resourceVersion": "7"})
    assert [item["metadata"]["namespace"] for item in pods["items"]] == ["default", "web"]


async def test_chunks_go_on_where_they_ended_with_a_sealed_token() -> None:
    def part(name: str, more: str = "") -> Answer:
        metadata = {"resourceVersion": "7", **({"continue": more} if more else {})}
        items = [{"metadata": {"name": name, "namespace": "acme-default"}}]
        return Answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items})

    world = World(part("a", "acme-host-token"), part("b"), part("c"))
    _, first = await world.ask("GET", "/api/v1/pods?limit=1")
    token = first["metadata"]["continue"]
    assert "acme" not in token
    await world.ask("GET", f"/api/v1/pods?limit=2&continue={token}")
    assert "continue=acme-host-token" in world.host.asked[1]
    assert "resourceVersionMatch=Exact" in world.host.asked[2]
    code, _ = await world.ask("GET", f"/api/v1/configmaps?limit=1&continue={token}")
    assert code == 400


def maps(*names: str, version: str = "7", more: str = "") -> Answer:
    metadata = {"resourceVersion": version, **({"continue": more} if more else {})}
    items = [{"metadata": {"name": name}} for name in names]
    return Answer(200, {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items})


def expired(more: str = "") -> Answer:
    metadata = {"continue": more} if more else {}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "code": 410, "reason": "Expired"}
    return Answer(410, body | {"message": "too old"})


def named(document: Any) -> list[str]:
    return [item["metadata"]["name"] for item in document["items"]]


async def test_a_list_that_is_too_old_goes_on_with_the_hosts_own_token_sealed() -> None:
    world = World(maps("a", more="old"), expired("acme-new"), maps("b", version="9"), maps("c"))
    _, first = await world.ask("GET", "/api/v1/configmaps?limit=1")
    code, refusal = await world.ask("GET", f"/api/v1/configmaps?limit=1&continue={first['metadata']['continue']}")
    assert (code, refusal["reason"], refusal["message"]) == (410, "Expired", "too old")
    token = refusal["metadata"]["continue"]
    assert "acme" not in json.dumps(refusal)
    code, rest = await world.ask("GET", f"/api/v1/configmaps?limit=2&continue={token}")
    assert (code, named(rest), rest["metadata"]) == (200, ["b", "c"], {"resourceVersion": "9"})
    assert "acme-default/configmaps" in world.host.asked[2]
    assert "continue=acme-new" in world.host.asked[2]
    assert "acme-web/configmaps" in world.host.asked[3]
    assert "resourceVersion=9&resourceVersionMatch=Exact" in world.host.asked[3]


async def test_a_list_whose_next_namespace_is_too_old_begins_that_at_the_newest() -> None:
    world = World(maps("a"), expired(), maps("c", version="9"))
    _, first = await world.ask("GET", "/api/v1/configmaps?limit=1")
    code, refusal = await world.ask("GET", f"/api/v1/configmaps?limit=1&continue={first['metadata']['continue']}")
    assert (code, refusal["message"]) == (410, lists.TOO_OLD)
    code, rest = await world.ask("GET", f"/api/v1/configmaps?limit=1&continue={refusal['metadata']['continue']}")
    assert (code, named(rest), rest["metadata"]) == (200, ["c"], {"resourceVersion": "9"})
    assert "resourceVersionMatch" not in world.host.asked[2]


async def test_a_list_goes_on_without_a_limit() -> None:
    world = World(maps("a", more="t"), maps("b"), maps("c"))
    _, first = await world.ask("GET", "/api/v1/configmaps?limit=1")
    _, rest = await world.ask("GET", f"/api/v1/configmaps?continue={first['metadata']['continue']}")
    assert named(rest) == ["b", "c"]
    assert "limit" not in world.host.asked[1] + world.host.asked[2]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Answer(200, {"metadata": {"labels": {"vcproxy.io/tenant": "acme"}}}), 403),
        (Answer(200, {"metadata": {"labels": {"vcproxy.io/tenant": "acme"}, "deletionTimestamp": "x"}}), 200),
        (Answer(200, {"metadata": {"labels": {"vcproxy.io/tenant": "globex"}}}), 200),
        (refusal(404, "NotFound", "no"), 200),
        (refusal(500, "InternalError", "no"), 502),
    ],
)
async def test_a_namespace_is_left_out_of_a_list_only_where_it_is_gone_or_going(found: Answer, code: int) -> None:
    world = World(maps("a"), refusal(403, "Forbidden", "no"), found)
    got, document = await world.ask("GET", "/api/v1/configmaps")
    assert got == code
    assert world.host.asked[2] == "GET /api/v1/namespaces/acme-web"
    assert world.host.header(2, "Impersonate-User") is None
    if code == 200:
        assert named(document) == ["a"]


async def test_namespaces_are_read_by_the_proxy_and_looked_at_again() -> None:
    def namespace(name: str, owner: str) -> dict[str, object]:
        return {"metadata": {"name": name, "labels": {"vcproxy.io/tenant": owner}}}

    items = [namespace("acme-web", "acme"), namespace("globex-web", "globex")]
    world = World(Answer(200, {"kind": "NamespaceList", "apiVersion": "v1", "metadata": {}, "items": items}))
    _, found = await world.ask("GET", "/api/v1/namespaces")
    assert world.host.header(0, "Impersonate-User") is None
    assert "labelSelector=vcproxy.io%2Ftenant%3Dacme%2C%21vcproxy.io%2Fhidden" in world.host.asked[0]
    assert found["items"] == [{"metadata": {"name": "web"}}]


async def test_a_namespace_of_another_tenant_is_not_there() -> None:
    answer = {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": "acme-web", "labels": {"vcproxy.io/tenant": "x"}},
    }
    world = World(Answer(200, answer))
    code, found = await world.ask("GET", "/api/v1/namespaces/web")
    assert (code, found["message"]) == (404, 'namespaces "web" not found')


async def test_an_apply_of_a_namespace_that_is_not_there_makes_it_first() -> None:
    made = {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": "acme-new", "labels": {"vcproxy.io/tenant": "acme"}},
    }
    world = World(Answer(201, made), Answer(200, made))
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}}
    target = "/api/v1/namespaces/new?fieldManager=me"
    code, _ = await world.ask("PATCH", target, body, media="application/apply-patch+yaml")
    assert world.host.asked == [
        "POST /api/v1/namespaces?fieldManager=vcproxy-controller",
        "PATCH /api/v1/namespaces/acme-new?fieldManager=me",
    ]
    assert code == 201


async def test_a_patch_over_hidden_labels_is_a_get_a_patch_and_a_put() -> None:
    labels = {"vcproxy.io/tenant": "acme", "team": "a"}
    stored = {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": "acme-web", "resourceVersion": "5", "labels": labels},
    }
    world = World(Answer(200, stored), refusal(409, "Conflict", "changed"), Answer(200, stored), Answer(200, stored))
    patch = {"metadata": {"labels": None}}
    code, _ = await world.ask("PATCH", "/api/v1/namespaces/web", patch, media="application/merge-patch+json")
    verbs = [line.split()[0] for line in world.host.asked]
    assert (code, verbs) == (200, ["GET", "PUT", "GET", "PUT"])
    assert world.host.body()["metadata"]["labels"] == {"vcproxy.io/tenant": "acme"}
    assert world.host.body()["metadata"]["resourceVersion"] == "5"


async def test_a_403_for_want_of_rights_in_a_young_namespace_is_asked_again() -> None:
    forbidden = refusal(403, "Forbidden", 'pods is forbidden: User "vcproxy:tenant:acme" cannot list resource "pods"')
    world = World(forbidden, Answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}))
    view = world.registry.view
    assert view is not None
    young = {name: type(info)(time.time(), "1") for name, info in view.namespaces.items()}
    world.registry.view = type(view)(view.id, view.uid, view.phase, namespaces=young)
    code, _ = await world.ask("GET", PODS)
    assert (code, len(world.host.requests)) == (200, 2)


async def test_a_403_in_an_old_namespace_is_the_answer_in_the_tenants_words() -> None:
    message = 'pods is forbidden: User "vcproxy:tenant:acme" cannot list resource "pods" in the namespace "acme-web"'
    world = World(refusal(403, "Forbidden", message))
    code, found = await world.ask("GET", PODS)
    assert (code, len(world.host.requests)) == (403, 1)
    assert found["message"] == 'pods is forbidden: User "ann" cannot list resource "pods" in the namespace "web"'


async def test_a_401_of_the_host_is_the_proxys_own_trouble() -> None:
    code, found = await World(refusal(401, "Unauthorized", "Unauthorized")).ask("GET", PODS)
    assert (code, found["reason"]) == (502, "ServiceUnavailable")


async def test_an_answer_that_is_no_object_is_502() -> None:
    code, _ = await World(Answer(200, chunks=[b"<html>"])).ask("GET", PODS)
    assert code == 502


async def test_who_am_i_asks_nobody() -> None:
    world = World()
    code, found = await world.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert (code, found["status"]["userInfo"]["username"]) == (201, "ann")
    assert world.host.requests == []


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "code"),
    [
        ("GET", PODS, None, {"Authorization": ""}, 401),
        ("GET", PODS, None, {"Authorization": "Bearer x"}, 401),
        ("GET", PODS, None, {"Authorization": "Bearer "}, 401),
        ("GET", "/api/v1/../x", None, {}, 400),
        ("GET", "/api/v1/nodes/a/status", None, {}, 404),
        ("GET", "/api/v1/nodes?fieldSelector=spec.podCIDR%3Dx", None, {}, 400),
        ("GET", "/api/v1/nodes?labelSelector=!!", None, {}, 400),
        ("GET", "/api/v1/nodes?watch=1&fieldSelector=x%3Dy", None, {}, 400),
        ("PATCH", "/api/v1/nodes/a", {}, {"Content-Type": "application/merge-patch+json"}, 403),
        ("PUT", "/api/v1/nodes/a", {}, {}, 403),
        ("POST", "/api/v1/nodes", {"metadata": {"name": "a"}}, {}, 403),
        ("DELETE", "/api/v1/nodes", None, {}, 403),
        ("GET", f"{PODS}/a/exec", None, {}, 400),
        ("POST", "/api/v1/namespaces/gone/pods/a/exec", None, {"Upgrade": "SPDY/3.1"}, 404),
        ("GET", "/api/v1/namespaces/gone/services/a/proxy/", None, {}, 404),
        ("GET", "/api/v1/nodes/a/proxy/", None, {}, 404),
        ("DELETE", "/api/v1/namespaces/default", None, {}, 403),
        ("POST", PODS, b"{", {}, 400),
        ("POST", PODS, {"metadata": {"name": "a", "namespace": "x"}}, {}, 400),
        ("POST", PODS, {"metadata": {"name": "a", "labels": {"vcproxy.io/x": "y"}}}, {}, 403),
        ("GET", PODS, None, {"Accept": "text/html"}, 406),
        ("GET", "/api/v1/namespaces/nope/pods/a", None, {}, 404),
        ("POST", "/api/v1/namespaces/nope/pods", {"metadata": {"name": "a"}}, {}, 404),
    ],
)
async def test_a_refusal_is_one_status_and_no_call_to_the_host(
    method: str, target: str, body: object, headers: dict[str, str], code: int
) -> None:
    world = World()
    got, found = await world.ask(method, target, body, **headers)
    assert (got, found["kind"], found["code"]) == (code, "Status", code)
    assert world.host.requests == []
    assert "acme-" not in str(found)


async def test_two_authorization_headers_are_401() -> None:
    world = World()
    headers = [("Authorization", f"Bearer {world.token}")] * 2
    reply = await world.flow.handle(ScriptedCall("GET", PODS, headers))
    assert (reply.code, world.host.requests) == (401, [])


async def test_unknown_suspended_and_older_tenants_are_refused_alike() -> None:
    suspended, unknown, older = World(phase=Phase.SUSPENDED), World(), World()
    unknown.registry.view = None
    older.token = older.issuer.issue(ACME, "uid-0", "ann", ("tenant:admin",), 600, time.time())[0]
    answers = [await world.ask("GET", PODS) for world in (suspended, unknown, older)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 403


async def test_whoever_is_no_administrator_is_403_in_the_words_of_kubernetes() -> None:
    world = World()
    world.token = world.issuer.issue(ACME, "uid-1", "bob", ("readers",), 600, time.time())[0]
    code, found = await world.ask("GET", PODS)
    wanted = 'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "web"'
    assert (code, found["message"]) == (403, wanted)


CA_MAP = "/api/v1/namespaces/web/configmaps/kube-root-ca.crt"


def ca_map(text: str) -> dict[str, object]:
    metadata = {"name": "kube-root-ca.crt", "namespace": "acme-web", "resourceVersion": "7"}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"ca.crt": text}}


async def test_a_certificate_that_is_rotated_counts_for_the_next_request() -> None:
    world = World(*(Answer(200, ca_map(text)) for text in ("host 1", "host 1", "host 2", "host 2")))
    shown = []
    for host, own in (("host 1", "own 1"), ("host 1", "own 2"), ("host 1", "own 2"), ("host 2", "own 2")):
        world.authorities.host, world.authorities.shown = host, own
        shown.append((await world.ask("GET", CA_MAP))[1]["data"]["ca.crt"])
    assert shown == ["own 1", "own 2", "host 2", "own 2"]
