"""Roles and bindings as traces: read and written as custom resources, shown as what they are."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from tests.flow.scripted import ACME, Answer, World, refusal
from vcproxy.core.hosting import HostRequest, HostResponse
from vcproxy.core.rbac import GROUP
from vcproxy.core.rbac_words import Room

HOST = "/apis/shadow.vcproxy.io/v1/namespaces"
ROLES = f"/apis/{GROUP}/v1/namespaces/web/roles"
CLUSTER_ROLES = f"/apis/{GROUP}/v1/clusterroles"


def stored(kind: str, name: str, version: str = "5", space: str = "acme-web", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": space, "resourceVersion": version, "uid": f"uid-{name}"}
    metadata |= fields.pop("metadata", {})
    return {"apiVersion": "shadow.vcproxy.io/v1", "kind": kind, "metadata": metadata, **fields}


def role(name: str = "r", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": {"name": name}, **fields}


RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
CONFLICT = refusal(409, "Conflict", "the object has been modified")


async def test_a_role_is_read_under_its_escaped_name_and_shown_as_a_role() -> None:
    world = World(Answer(200, stored("Role", "x--52eadx--3aer", rules=RULES)))
    code, found = await world.ask("GET", f"{ROLES}/Read:er")
    assert world.host.asked == [f"GET {HOST}/acme-web/roles/x--52eadx--3aer"]
    assert (code, found["apiVersion"], found["kind"]) == (200, f"{GROUP}/v1", "Role")
    assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("Read:er", "web")


async def test_a_refusal_names_the_role_that_was_asked_for() -> None:
    message = 'roles.shadow.vcproxy.io "x--52" not found'
    world = World(refusal(404, "NotFound", message))
    code, found = await world.ask("GET", f"{ROLES}/R")
    assert (code, found["message"]) == (404, f'roles.{GROUP} "R" not found')


async def test_a_refusal_of_the_proxys_own_credential_is_no_401_of_the_tenants() -> None:
    world = World(refusal(401, "Unauthorized", "Unauthorized"), refusal(401, "Unauthorized", "Unauthorized"))
    for method, target in (("GET", f"{ROLES}/r"), ("DELETE", f"{ROLES}/r")):
        code, found = await world.ask(method, target)
        assert (code, found["code"]) == (502, 502)


async def test_a_list_of_cluster_roles_has_what_every_tenant_has_and_its_own() -> None:
    own = stored("ClusterRole", "own", space="acme-vcproxy", rules=RULES)
    world = World(Answer(200, {"metadata": {"resourceVersion": "9"}, "items": [own]}))
    _, found = await world.ask("GET", CLUSTER_ROLES)
    names = [one["metadata"]["name"] for one in found["items"]]
    assert {"own", "view", "tenant-admin"} <= set(names)
    assert names == sorted(names)
    assert found["metadata"]["resourceVersion"] == "9"


async def test_what_every_tenant_has_is_read_without_the_host_and_never_written() -> None:
    world = World()
    code, found = await world.ask("GET", f"{CLUSTER_ROLES}/view")
    assert (code, bool(found["rules"])) == (200, True)
    for method in ("PUT", "DELETE"):
        code, found = await world.ask(method, f"{CLUSTER_ROLES}/view", role("view") | {"kind": "ClusterRole"})
        assert (code, "cannot be changed" in found["message"]) == (403, True)
    code, found = await world.ask("POST", CLUSTER_ROLES, role("view") | {"kind": "ClusterRole"})
    assert (code, found["reason"]) == (409, "AlreadyExists")
    assert world.host.asked == []


async def test_an_unconditional_put_that_meets_a_conflict_is_tried_again_with_the_newer_version() -> None:
    world = World(
        Answer(200, stored("Role", "r", "5")),
        CONFLICT,
        Answer(200, stored("Role", "r", "6")),
        Answer(200, stored("Role", "r", "7", rules=RULES)),
    )
    code, found = await world.ask("PUT", f"{ROLES}/r", role(rules=RULES))
    assert (code, found["metadata"]["resourceVersion"]) == (200, "7")
    assert [world.host.body(at)["metadata"]["resourceVersion"] for at in (1, 3)] == ["5", "6"]


async def test_a_put_with_a_version_is_not_tried_again() -> None:
    old = role(rules=RULES)
    old["metadata"]["resourceVersion"] = "4"
    world = World(Answer(200, stored("Role", "r", "5")), refusal(409, "Conflict", "the object has been modified"))
    code, _ = await world.ask("PUT", f"{ROLES}/r", old)
    assert (code, len(world.host.asked)) == (409, 2)


async def test_a_patch_is_made_of_the_view_and_put() -> None:
    world = World(Answer(200, stored("Role", "r", rules=RULES)), Answer(200, stored("Role", "r", "6")))
    patch = {"metadata": {"labels": {"a": "b"}}}
    await world.ask("PATCH", f"{ROLES}/r", patch, media="application/merge-patch+json")
    assert world.host.asked[1] == f"PUT {HOST}/acme-web/roles/r"
    assert world.host.body()["metadata"]["labels"] == {"a": "b"}
    assert world.host.body()["rules"] == RULES


async def test_a_dry_run_gives_nobody_a_right() -> None:
    world = World(Answer(201, stored("Role", "r", rules=RULES)))
    code, _ = await world.ask("POST", f"{ROLES}?dryRun=All", role(rules=RULES))
    assert (code, world.host.asked) == (201, [f"POST {HOST}/acme-web/roles?dryRun=All"])
    assert world.policies.policy(ACME).role("web", "r") is None
    world.host.answers.append(Answer(201, stored("Role", "r", rules=RULES)))
    await world.ask("POST", ROLES, role(rules=RULES))
    assert world.policies.policy(ACME).role("web", "r") is not None


async def test_whoever_holds_less_gives_no_more_and_the_host_is_not_asked() -> None:
    world = World()
    writer = {"apiGroups": [GROUP], "resources": ["clusterroles"], "verbs": ["create"]}
    world.policies.learn(ACME, {"kind": "ClusterRole", "metadata": {"name": "w"}, "rules": [writer]})
    subject = {"kind": "User", "name": "bob"}
    reference = {"kind": "ClusterRole", "name": "w"}
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}
    world.policies.learn(ACME, binding)
    body = role(rules=RULES) | {"kind": "ClusterRole"}
    code, found = await world.ask("POST", CLUSTER_ROLES, body, Impersonate_User="bob")
    assert (code, "attempting to grant RBAC permissions not currently held" in found["message"]) == (403, True)
    assert world.host.asked == []


async def test_all_of_a_collection_that_is_deleted_count_no_more() -> None:
    world = World(Answer(200, {"metadata": {}, "items": [stored("Role", "r", rules=RULES)]}))
    world.policies.learn(ACME, role(rules=RULES) | {"metadata": {"name": "r", "namespace": "web"}})
    code, found = await world.ask("DELETE", f"{ROLES}?labelSelector=a%3Db")
    assert (code, found["kind"], world.host.asked) == (
        200,
        "RoleList",
        [f"DELETE {HOST}/acme-web/roles?labelSelector=a%3Db%2C%21vcproxy.io%2Fhidden"],
    )
    assert world.policies.policy(ACME).role("web", "r") is None


@pytest.mark.parametrize("target", [f"{ROLES}/r", ROLES], ids=["one", "all"])
@pytest.mark.parametrize("where", ["query", "body"])
async def test_a_deletion_that_is_tried_dry_takes_no_right(target: str, where: str) -> None:
    """kubectl writes dryRun into the DeleteOptions, others into the query."""
    old = stored("Role", "r", rules=RULES)
    answers = [Answer(200, old), Answer(200, old)] if target != ROLES else [Answer(200, {"items": [old]})]
    world = World(*answers)
    world.policies.learn(ACME, role(rules=RULES) | {"metadata": {"name": "r", "namespace": "web"}})
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]} if where == "body" else None
    code, _ = await world.ask("DELETE", target + ("?dryRun=All" if where == "query" else ""), body)
    assert code == 200
    assert world.policies.policy(ACME).role("web", "r") is not None


@pytest.mark.parametrize("body", [[], [1], "x", 7])
async def test_options_of_a_deletion_that_are_no_object_are_the_hosts_to_judge(body: Any) -> None:
    old = stored("Role", "r", rules=RULES)
    world = World(Answer(200, old), refusal(400, "BadRequest", "couldn't get version/kind"))
    assert (await world.ask("DELETE", f"{ROLES}/r", body))[0] == 400
    world = World(Answer(200, old), Answer(200, old))
    assert (await world.ask("DELETE", f"{ROLES}/r", body))[0] == 200


async def test_a_namespace_that_is_not_there_has_no_roles() -> None:
    world = World(Answer(200, {"metadata": {"resourceVersion": "9"}, "items": []}))
    code, found = await world.ask("GET", ROLES.replace("/web/", "/nowhere/"))
    assert (code, found["items"]) == (200, [])


def event(kind: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


async def watched(world: World, *, changing: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """Type and name (or code) of each event of a watch of ClusterRoles, before which something changes."""
    reply = await world.reply("GET", f"{CLUSTER_ROLES}?watch=1&resourceVersion=2")
    assert reply.stream is not None, reply.body
    if changing is not None:
        world.policies.learn(ACME, changing)
    got = []
    async with asyncio.timeout(5):
        async for chunk in reply.stream.chunks():
            one = json.loads(chunk)
            got.append((one["type"], one["object"].get("code") or one["object"]["metadata"]["name"]))
    await reply.stream.close()
    return got


def part(labels: dict[str, str]) -> dict[str, Any]:
    return stored("ClusterRole", "part", "6", "acme-vcproxy", metadata={"labels": labels}, rules=RULES)


async def test_a_watch_of_cluster_roles_begins_anew_when_a_role_gathers_other_rules() -> None:
    labels = {f"{GROUP}/aggregate-to-view": "true"}
    rules = [{"apiGroups": ["x"], "resources": ["y"], "verbs": ["get"]}]
    changing = {"kind": "ClusterRole", "metadata": {"name": "part", "labels": labels}, "rules": rules}
    world = World(Answer(200, chunks=[event("ADDED", part(labels))]), refusal(410, "Expired", "too old"))
    assert await watched(world, changing=changing) == [("ERROR", 410)]


async def test_a_watch_of_cluster_roles_goes_on_when_one_comes_that_none_gathers() -> None:
    gathering = {"clusterRoleSelectors": [{"matchLabels": {"none": "has"}}]}
    changing = {"kind": "ClusterRole", "metadata": {"name": "whole"}, "aggregationRule": gathering}
    world = World(Answer(200, chunks=[event("ADDED", part({}))]), refusal(410, "Expired", "too old"))
    assert await watched(world, changing=changing) == [("ADDED", "part")]


async def test_the_right_to_escalate_one_role_counts_where_the_url_names_it() -> None:
    """A POST names nothing: there the API server asks for the right to escalate any role."""
    absent = refusal(404, "NotFound", 'roles.shadow.vcproxy.io "r" not found')
    world = World(absent, Answer(201, stored("Role", "r", rules=RULES)))
    writing = {"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["create", "update"]}
    escalating = {"apiGroups": [GROUP], "resources": ["roles"], "resourceNames": ["r"], "verbs": ["escalate"]}
    writer = {"kind": "ClusterRole", "metadata": {"name": "writer"}, "rules": [writing, escalating]}
    world.policies.learn(ACME, writer)
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "writer"}
    subjects = [{"apiGroup": GROUP, "kind": "User", "name": "bob"}]
    bound = {"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": reference, "subjects": subjects}
    world.policies.learn(ACME, bound)
    code, found = await world.ask("POST", ROLES, role(rules=RULES), Impersonate_User="bob")
    assert (code, "not currently held" in found["message"], world.host.asked) == (403, True, [])
    code, _ = await world.ask("PUT", f"{ROLES}/r", role(rules=RULES), Impersonate_User="bob")
    assert code == 201


async def test_a_role_that_a_cluster_has_no_room_for_is_refused_and_does_not_reach_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    monkeypatch.setattr(world.policies, "room", lambda _: Room(10, 12))
    code, found = await world.ask("POST", ROLES, role(rules=RULES))
    assert (code, found["reason"], world.host.asked) == (403, "Forbidden", [])
    assert f'roles.{GROUP} "r" is forbidden: exceeded quota' in found["message"]


@pytest.mark.parametrize("way", ["POST", "PUT", "PATCH"])
async def test_roles_written_side_by_side_have_no_more_room_than_one_after_the_other(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of large ones passed: each was judged before any of the others was known."""
    world, go_on = World(), asyncio.Event()
    reached: list[str] = []
    world.policies.limit = 12  # three such roles

    async def send(request: HostRequest) -> HostResponse:
        if request.method == "GET":
            return refusal(404, "NotFound", "no such role")
        if "dryRun" not in request.target:
            reached.append(request.target)
            await go_on.wait()
        return Answer(201, msgspec.json.decode(request.body or b""))

    monkeypatch.setattr(world.host, "send", send)
    media = {"PATCH": "application/apply-patch+yaml"}.get(way, "application/json")

    async def write(number: int) -> int:
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Role", **role(f"r{number}", rules=RULES)}
        target = ROLES if way == "POST" else f"{ROLES}/r{number}"
        target += "?fieldManager=m" if way == "PATCH" else ""
        return (await world.ask(way, target, body, media=media))[0]

    writing = [asyncio.create_task(write(number)) for number in range(8)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(reached) == 3
    go_on.set()
    codes = sorted(await asyncio.gather(*writing))
    assert codes == [201] * 3 + [403] * 5
