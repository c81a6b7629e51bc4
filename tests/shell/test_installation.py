"""What is put on a host: kind by kind, named once, and nothing that a tenant must never have."""

from typing import Any

import pytest

from vcproxy.tenants import installation, pods_webhook
from vcproxy.tenants.installation import Change, InstallationError, Installer, objects


class Host:
    """Objects by path, as a host keeps them: resourceVersions grow with each real change."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []

    async def get(self, path: str) -> Any:
        return self.kept.get(path)

    async def patch(self, target: str, body: dict[str, Any], media: str) -> Any:
        path, _, query = target.partition("?")
        before = self.kept.get(path)
        after = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": "1"}}
        if before is not None:
            same = {**before, "metadata": {**before["metadata"], "resourceVersion": "1"}} == after
            after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"] if same else "2"
        if "dryRun" not in query:
            self.kept[path] = after
            self.writes.append(path)
        return after

    async def create(self, path: str, body: dict[str, Any]) -> Any:
        self.kept[f"{path}/{body['metadata']['name']}"] = body
        return body

    async def delete(self, path: str, uid: str = "") -> None:
        del self.kept[path]


class Ready(Installer):
    """An installer whose host is ready at once."""

    async def _ready(self) -> bool:
        return True

    async def _served(self) -> bool:
        return False


def installer(host: Host, version: str = "0.1.0") -> Ready:
    return Ready(host, version, lambda text: None)  # type: ignore[arg-type]


def keys() -> dict[str, bytes]:
    return {"signing.json": b"one"}


def actions(changes: list[Change]) -> set[str]:
    return {change.action for change in changes}


async def test_an_installation_is_made_and_made_again_without_a_change() -> None:
    host = Host()
    assert actions(await installer(host).install(keys)) == {"created"}
    assert actions(await installer(host).install(lambda: {"signing.json": b"other"})) == {"unchanged"}
    secret = next(one for path, one in host.kept.items() if path.endswith("/vcproxy-keys"))
    assert secret["data"] == {"signing.json": "b25l"}


async def test_a_dry_run_writes_nothing() -> None:
    host = Host()
    assert actions(await installer(host).install(keys, dry_run=True)) == {"created"}
    assert host.kept == {}


async def test_what_is_somebody_elses_is_not_touched() -> None:
    host = Host()
    path = installation.path(objects("0.1.0")[0])
    host.kept[path] = {"metadata": {"name": "vcproxy-system", "resourceVersion": "1"}}
    with pytest.raises(InstallationError, match="not vcproxy's"):
        await installer(host).install(keys)
    assert host.writes == []


async def test_a_newer_installation_is_not_touched() -> None:
    host = Host()
    await installer(host, "0.10.0").install(keys)
    host.writes.clear()
    with pytest.raises(InstallationError, match=r"newer than this 0\.9\.0"):
        await installer(host, "0.9.0").install(keys)
    assert host.writes == []


async def test_the_users_that_the_controller_keeps_stay() -> None:
    host = Host()
    await installer(host).install(keys)
    path = next(path for path in host.kept if path.endswith("/vcproxy:impersonator"))
    rule = {
        "apiGroups": [""],
        "resources": ["users"],
        "verbs": ["impersonate"],
        "resourceNames": ["vcproxy:tenant:acme"],
    }
    host.kept[path]["rules"].append(rule)
    await installer(host, "0.2.0").install(keys)
    assert rule in host.kept[path]["rules"]


async def test_everything_of_ours_is_removed_and_only_that() -> None:
    host = Host()
    await installer(host).install(keys)
    host.kept["/api/v1/namespaces/other"] = {"metadata": {"name": "other", "uid": "x"}}
    await installer(host).uninstall()
    left = {path for path in host.kept if "vcproxy-keys" not in path}  # the Secret goes with its namespace
    assert left == {"/api/v1/namespaces/other"}


async def test_the_webhook_that_a_controller_wrote_goes_too_but_nobody_elses() -> None:
    for owner, left in (("vcproxy", False), ("somebody", True)):
        host = Host()
        await installer(host).install(keys)
        labels = {installation.OWNER_LABEL: owner}
        host.kept[pods_webhook.PATH] = {"metadata": {"name": pods_webhook.NAME, "uid": "x", "labels": labels}}
        await installer(host).uninstall()
        assert (pods_webhook.PATH in host.kept) is left


def test_every_object_has_a_path_of_its_own_and_the_owners_label() -> None:
    found = objects("0.1.0")
    assert len({installation.path(one) for one in found}) == len(found)
    assert all(one["metadata"]["labels"][installation.OWNER_LABEL] == "vcproxy" for one in found)


def test_the_proxy_reads_and_impersonates_and_does_nothing_else() -> None:
    roles = {one["metadata"]["name"]: one for one in objects("0.1.0") if one["kind"] in ("ClusterRole", "Role")}
    for name in ("vcproxy:reader", "vcproxy"):
        assert {verb for rule in roles[name]["rules"] for verb in rule["verbs"]} <= {"get", "list", "watch"}
    named = [rule for rule in roles["vcproxy:impersonator"]["rules"] if rule["resources"] in (["users"], ["groups"])]
    assert all(rule.get("resourceNames") for rule in named)


def test_no_rule_of_ours_holds_a_star() -> None:
    for one in objects("0.1.0"):
        for rule in one.get("rules") or ():
            assert "*" not in (rule.get("apiGroups") or []) + (rule.get("resources") or []) + rule["verbs"]
