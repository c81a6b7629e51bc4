"""What vcproxy puts on a host, and takes away again: the objects of vcproxy/manifests and the keys.

Everything is applied by the server, under one field manager, with a label that says whose it is. An object of one of
our names without that label belongs to somebody else: then nothing is touched.
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import yaml

from vcproxy.core.kinds import Kind, served
from vcproxy.tenants.hostapi import HostApi, Object, path_of

OWNER_LABEL: Final = "app.kubernetes.io/managed-by"
OWNER: Final = "vcproxy"
VERSION_ANNOTATION: Final = "vcproxy.io/version"
NAMESPACE: Final = "vcproxy-system"
KEYS: Final = "vcproxy-keys"
READY_DEADLINE: Final = 30.0
"""Seconds in which the host must serve the Tenant kind and fill the token Secrets."""
_PLURALS: Final = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "Secret": "secrets",
    "CustomResourceDefinition": "customresourcedefinitions",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "PriorityLevelConfiguration": "prioritylevelconfigurations",
    "FlowSchema": "flowschemas",
}

Say = Callable[[str], None]


class InstallationError(Exception):
    """The installation cannot be made or removed; the message says why and what to do."""


class Change(msgspec.Struct, frozen=True):
    """What was done (or, in a dry run, would be) to one object."""

    kind: str
    name: str
    action: str


def objects(version: str) -> list[Object]:
    """Every object of the installation but the keys, in the order in which they are applied."""
    found = [document for text in _texts() for document in yaml.safe_load_all(text) if document]
    found.insert(_index(found, "vcproxy:tenant-cluster"), tenant_role(served()))
    for document in found:
        metadata = document["metadata"]
        metadata["labels"] = {**metadata.get("labels", {}), OWNER_LABEL: OWNER}
        metadata["annotations"] = {**metadata.get("annotations", {}), VERSION_ANNOTATION: version}
        if metadata["name"] == "vcproxy:controller" and document["kind"] == "ClusterRole":
            document["rules"] += looking_rules(served())
    return found


def _texts() -> list[str]:
    folder = resources.files("vcproxy.manifests")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return [folder.joinpath(name).read_text() for name in names]


def _index(documents: list[Object], name: str) -> int:
    return next(index for index, document in enumerate(documents) if document["metadata"]["name"] == name)


def tenant_role(rows: Iterable[Kind]) -> Object:
    """The ClusterRole that counts in each namespace of a tenant: kind by kind, never `*`, made of the kinds table."""
    rules = [rule for row in rows if row.namespaced for rule in _rules(row)]
    own = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "update", "patch", "delete"]}
    parts = {"apiGroups": [""], "resources": ["namespaces/finalize", "namespaces/status"], "verbs": ["update", "patch"]}
    metadata = {"name": "vcproxy:tenant"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": metadata,
        "rules": [own, parts, *rules],
    }


def _rules(row: Kind) -> list[Object]:
    rules: list[Object] = [{"apiGroups": [row.group], "resources": [row.resource], "verbs": sorted(row.verbs)}]
    for name, verbs in row.subresources.items():
        if name not in row.hidden_subresources:
            rules.append({"apiGroups": [row.group], "resources": [f"{row.resource}/{name}"], "verbs": sorted(verbs)})
    if row.key == ("discovery.k8s.io", "endpointslices"):
        rules.append(
            {"apiGroups": [row.group], "resources": ["endpointslices/restricted"], "verbs": ["create", "update"]}
        )
    return rules


def looking_rules(rows: Iterable[Kind]) -> list[Object]:
    """What the controller may look at to judge whether a namespace that is deleted still needs its owner."""
    kinds = [row for row in rows if row.namespaced and "list" in row.verbs]
    return [{"apiGroups": [row.group], "resources": [row.resource], "verbs": ["get", "list"]} for row in kinds]


def path(document: Mapping[str, Any]) -> str:
    """The path of an object of the installation."""
    metadata = document["metadata"]
    return path_of(document["apiVersion"], _PLURALS[document["kind"]], metadata.get("namespace", ""), metadata["name"])


class Installer:
    """Installs and uninstalls with an administrator's credential. `say` tells of progress."""

    def __init__(self, api: HostApi, version: str, say: Say) -> None:
        self._api = api
        self._version = version
        self._say = say

    async def install(self, new_keys: Callable[[], Mapping[str, bytes]], *, dry_run: bool = False) -> list[Change]:
        """Apply everything; made keys are never replaced. Raises InstallationError, HostError or ApiError."""
        wanted = objects(self._version)
        found = {path(document): await self._api.get(path(document)) for document in wanted}
        self._refuse_foreign(wanted, found)
        changes = []
        for document in wanted:
            before = found[path(document)]
            settled = (before is None and dry_run) or _kept_by_controller(document, before)
            after = before if settled else await self._apply(document, before, dry_run)
            changes.append(Change(document["kind"], document["metadata"]["name"], _action(before, after)))
        changes.append(await self._keys(new_keys, dry_run))
        if not dry_run:
            await self._wait_ready()
        return changes

    def _refuse_foreign(self, wanted: list[Object], found: Mapping[str, Object | None]) -> None:
        for document in wanted:
            there = found[path(document)]
            if there is None:
                continue
            what = f"{document['kind']} {document['metadata']['name']}"
            if (there["metadata"].get("labels") or {}).get(OWNER_LABEL) != OWNER:
                raise InstallationError(
                    f"{what} is on the host and not vcproxy's: remove or rename it, then install again"
                )
            version = (there["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, "0")
            if _number(version) > _number(self._version):
                raise InstallationError(
                    f"{what} is of vcproxy {version}, newer than this {self._version}: "
                    "install with that version or a later one"
                )

    async def _apply(self, document: Object, before: Object | None, dry_run: bool) -> Object:
        if document["metadata"]["name"] == "vcproxy:impersonator" and document["kind"] == "ClusterRole" and before:
            document = {**document, "rules": _with_users(document["rules"], before.get("rules") or [])}
        query = {"fieldManager": OWNER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        return await self._api.patch(f"{path(document)}?{urlencode(query)}", document, "application/apply-patch+yaml")

    async def _keys(self, new_keys: Callable[[], Mapping[str, bytes]], dry_run: bool) -> Change:
        """The Secret of keys, made once: to replace it would make every token and certificate worthless."""
        where = path_of("v1", "secrets", NAMESPACE, KEYS)
        if await self._api.get(where) is not None:
            return Change("Secret", KEYS, "unchanged")
        if not dry_run:
            data = {name: base64.b64encode(value).decode() for name, value in new_keys().items()}
            metadata = {"name": KEYS, "namespace": NAMESPACE, "labels": {OWNER_LABEL: OWNER}}
            body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}
            await self._api.create(path_of("v1", "secrets", NAMESPACE), body)
        return Change("Secret", KEYS, "created")

    async def _wait_ready(self) -> None:
        """Until the host serves Tenants and has filled the token Secrets."""
        self._say("waiting until the host serves Tenants ...")
        try:
            async with asyncio.timeout(READY_DEADLINE):
                while not await self._ready():  # noqa: ASYNC110 - the host tells nobody
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise InstallationError(
                f"the host did not serve Tenants and tokens within {READY_DEADLINE:.0f} s: "
                "is its controller manager running? install again to go on waiting"
            ) from None

    async def _ready(self) -> bool:
        tokens = [await self.token(account) for account in ("vcproxy", "vcproxy-controller")]
        return all(tokens) and await self._served()

    async def _served(self) -> bool:
        crd = await self._api.get(
            path_of("apiextensions.k8s.io/v1", "customresourcedefinitions", name="tenants.vcproxy.io")
        )
        conditions = ((crd or {}).get("status") or {}).get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    async def token(self, account: str) -> str | None:
        """The token of one of our ServiceAccounts, or None while the host has not made it."""
        secret = await self._api.get(path_of("v1", "secrets", NAMESPACE, f"{account}-token"))
        data = (secret or {}).get("data") or {}
        return base64.b64decode(data["token"]).decode() if "token" in data else None

    async def uninstall(self, *, dry_run: bool = False) -> list[Change]:
        """Remove everything of ours. Raises InstallationError while tenants exist."""
        await self._refuse_tenants()
        changes = []
        for document in reversed(objects(self._version)):
            there = await self._api.get(path(document))
            if there is None or (there["metadata"].get("labels") or {}).get(OWNER_LABEL) != OWNER:
                continue
            if not dry_run:
                await self._api.delete(path(document), there["metadata"]["uid"])
            changes.append(Change(document["kind"], document["metadata"]["name"], "removed"))
        if changes and not dry_run:
            await self._wait_gone()
        return changes

    async def _wait_gone(self) -> None:
        """Until the host has removed our namespace: an installation right after would find it Terminating."""
        self._say("waiting until the host has removed everything ...")
        with contextlib.suppress(TimeoutError):  # it goes on by itself
            async with asyncio.timeout(READY_DEADLINE):
                while await self._api.get(path_of("v1", "namespaces", name=NAMESPACE)):  # noqa: ASYNC110 - the host tells nobody
                    await asyncio.sleep(0.2)

    async def _refuse_tenants(self) -> None:
        if not await self._served():
            return
        holding = []
        async for tenant in self._api.items(path_of("vcproxy.io/v1alpha1", "tenants")):
            name, count = tenant["metadata"]["name"], (tenant.get("status") or {}).get("namespaces", 0)
            holding.append(f"  {name}: {count} namespaces; vcproxy tenant delete {name} --wait")
        if holding:
            raise InstallationError(
                "\n".join([f"{len(holding)} tenants are still there; delete them first:", *holding])
            )


def _kept_by_controller(document: Object, before: Object | None) -> bool:
    """Whether this is the role that the controller keeps, of this version and with all of our rules."""
    if before is None or (document["kind"], document["metadata"]["name"]) != ("ClusterRole", "vcproxy:impersonator"):
        return False
    versions = [(one["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION) for one in (document, before)]
    return versions[0] == versions[1] and all(rule in (before.get("rules") or []) for rule in document["rules"])


def _with_users(rules: list[Object], before: list[Object]) -> list[Object]:
    """The controller's rule of users stays as it is: an installation must not lock tenants out."""
    return [*rules, *(rule for rule in before if rule.get("resources") == ["users"])]


def _action(before: Object | None, after: Object | None) -> str:
    if before is None:
        return "created"
    same = after is not None and before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
    return "unchanged" if same else "changed"


def _number(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split("-")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
