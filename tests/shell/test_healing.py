"""Walls that are changed or removed by hand are put back; what is another version's, or going, is left alone."""

import asyncio
import contextlib
import copy
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.shell.fakehost import FakeHost, until
from vcproxy.core.pods import OWN_ROOT_CA
from vcproxy.tenants import installation, pods_webhook, wall
from vcproxy.tenants.healing import Healer, is_intact, put_back
from vcproxy.tenants.installation import is_wall, objects, path
from vcproxy.tenants.reflector import Timing

FAST = Timing(first_pause=0.001, longest_pause=0.002)
USERS = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["vcproxy:tenant:acme"]}
WALLS = [one for one in objects("1") if is_wall(one)]
Document = dict[str, Any]


def put(host: FakeHost, document: Document) -> None:
    root = f"/apis/{document['apiVersion']}" if "/" in document["apiVersion"] else f"/api/{document['apiVersion']}"
    host.put(root, installation.PLURALS[document["kind"]], copy.deepcopy(document))


def installed(version: str = "1") -> FakeHost:
    host = FakeHost()
    for one in objects(version):
        put(host, one)
    return host


def found(host: FakeHost, document: Document) -> Document | None:
    metadata = document["metadata"]
    return host.find(installation.PLURALS[document["kind"]], metadata["name"], metadata.get("namespace", ""))


@asynccontextmanager
async def healing(host: FakeHost) -> AsyncIterator[None]:
    task = asyncio.create_task(Healer(host, objects("1"), timing=FAST, gather=0.001).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def intact(host: FakeHost) -> bool:
    return all((now := found(host, one)) is not None and is_intact(one, now) for one in WALLS)


def damaged(document: Document) -> Document:
    """The object, weakened as its kind allows."""
    changed = copy.deepcopy(document)
    if "subjects" in changed:
        changed["subjects"].append({"kind": "Group", "name": "system:authenticated"})
    elif "rules" in changed:
        changed["rules"].append({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    else:
        changed["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": {"a": "b"}}}
    return changed


@pytest.mark.parametrize("wanted", WALLS, ids=path)
async def test_each_wall_is_made_again_and_put_back(wanted: Document) -> None:
    host = installed()
    async with healing(host):
        host.remove(installation.PLURALS[wanted["kind"]], wanted["metadata"]["name"], _space(wanted))
        await until(lambda: intact(host))
        put(host, damaged(wanted))
        assert not intact(host)
        await until(lambda: intact(host))


def _space(document: Document) -> str:
    return str(document["metadata"].get("namespace", ""))


async def test_a_label_that_is_taken_off_comes_back() -> None:
    host = installed()
    wanted = WALLS[0]
    async with healing(host):
        bare = {**wanted, "metadata": {**wanted["metadata"], "labels": {}}}
        put(host, bare)
        await until(lambda: (found(host, wanted) or {})["metadata"]["labels"] == wanted["metadata"]["labels"])


async def test_a_binding_that_leads_to_another_role_is_made_anew() -> None:
    host = installed()
    wanted = next(one for one in WALLS if one["kind"] == "ClusterRoleBinding")
    async with healing(host):
        put(host, {**wanted, "roleRef": {**wanted["roleRef"], "name": "cluster-admin"}})
        await until(lambda: intact(host))
    assert f"DELETE {path(wanted)}" in host.log


async def test_the_webhook_for_pods_is_kept_as_well() -> None:
    host = installed()
    wanted = pods_webhook.configuration(pods_webhook.client("https://10.0.0.1:9443", "/pods/x", b"ca"))
    healer = Healer(host, objects("1"), review=lambda: wanted, timing=FAST, gather=0.001)
    task = asyncio.create_task(healer.run())
    try:
        await until(lambda: found(host, wanted) is not None)
        for change in ({"failurePolicy": "Ignore"}, {"objectSelector": {"matchLabels": {"a": "b"}}}):
            put(host, {**wanted, "webhooks": [{**wanted["webhooks"][0], **change}]})
            await until(lambda: (found(host, wanted) or {}).get("webhooks") == wanted["webhooks"])
        host.remove("mutatingwebhookconfigurations", pods_webhook.NAME)
        await until(lambda: found(host, wanted) is not None)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_an_intact_host_is_not_written() -> None:
    host = installed()
    async with healing(host):
        await asyncio.sleep(0.05)
    assert host.log == []


@pytest.mark.parametrize("version", ["0.9", "2"])
async def test_an_installation_of_another_version_is_left_alone(version: str) -> None:
    host = installed(version)
    async with healing(host):
        host.remove("validatingadmissionpolicies", "vcproxy-tenants")
        await asyncio.sleep(0.05)
    assert host.log == []


async def test_what_is_being_taken_off_is_left_alone() -> None:
    host = installed()
    async with healing(host):
        host.remove("clusterroles", "vcproxy:controller")
        host.remove("validatingadmissionpolicies", "vcproxy-tenants")
        await asyncio.sleep(0.05)
    assert host.log == []


def test_the_users_that_may_be_impersonated_are_no_damage_and_stay() -> None:
    wanted = next(one for one in WALLS if installation.holds_users(one))
    now = {**wanted, "rules": [*wanted["rules"], USERS]}
    assert is_intact(wanted, now)
    worse = {**now, "rules": [*now["rules"], {"apiGroups": [""], "resources": ["users"], "verbs": ["*"]}]}
    assert not is_intact(wanted, worse)
    assert put_back(wanted, worse)["rules"] == now["rules"]


def test_what_bounds_the_controller_is_no_wall_of_its_own() -> None:
    kept = {one["metadata"]["name"] for one in WALLS}
    assert not kept & {"vcproxy:controller", "vcproxy-controller"}
    role = next(one for one in objects("1") if installation.is_gate(one))
    writable = {
        name
        for rule in role["rules"]
        if {"update", "patch"} & set(rule["verbs"])
        for name in rule.get("resourceNames") or ()
    }
    for_pods = {pods_webhook.NAME, OWN_ROOT_CA}
    assert writable == {one["metadata"]["name"] for one in WALLS if not _space(one)} | for_pods | {
        wall.ACCOUNT_POLICY,
        wall.CERTIFICATE_POLICY,
    }
    for rule in role["rules"]:
        if {"escalate", "bind"} & set(rule["verbs"]) and "resourceNames" in rule:
            assert set(rule["resourceNames"]) <= kept


def test_the_policy_of_the_controller_names_what_it_keeps_at_cluster_scope() -> None:
    policy = next(one for one in objects("1") if one["metadata"]["name"] == "vcproxy-controller" and "spec" in one)
    variables = {one["name"]: one["expression"] for one in policy["spec"]["variables"]}
    named = set(re.findall(r"'([^']+)'", variables["roles"]))
    assert named == {one["metadata"]["name"] for one in WALLS if one["kind"] in ("ClusterRole", "ClusterRoleBinding")}
