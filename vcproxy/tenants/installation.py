"""What vcproxy puts on a host, and takes away again: the objects of vcproxy/manifests and the keys.

Everything is applied by the server, under one field manager, with a label that says whose it is. An object of one of
our names without that label belongs to somebody else: then nothing is touched.
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import yaml

from vcproxy.core.exported import NOTHING, Exports
from vcproxy.tenants import pods_webhook, wall
from vcproxy.tenants.hostapi import HostApi, Object, path_of
from vcproxy.tenants.manifests import INSTALLATION, KEYS_SECRET

OWNER_LABEL: Final = "app.kubernetes.io/managed-by"
OWNER: Final = "vcproxy"
VERSION_ANNOTATION: Final = "vcproxy.io/version"
READY_DEADLINE: Final = 30.0
"""Seconds in which the host must serve the Tenant kind and fill the token Secrets."""
PLURALS: Final = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "Secret": "secrets",
    "CustomResourceDefinition": "customresourcedefinitions",
    **wall.PLURALS,
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


def objects(version: str, exports: Exports = NOTHING) -> list[Object]:
    """Every object of the installation but the keys, in the order in which they are applied."""
    found = [document for text in _texts() for document in yaml.safe_load_all(text) if document]
    found = [wall.completed(document, exports.served()) for document in found]
    for document in found:
        metadata = document["metadata"]
        metadata["labels"] = {**metadata.get("labels", {}), OWNER_LABEL: OWNER}
        metadata["annotations"] = {**metadata.get("annotations", {}), VERSION_ANNOTATION: version}
        if document["kind"].endswith("Role") and metadata["name"] in BOUNDS:
            kept = [*found, *_configured()]
            document["rules"] += wall.keeping_rules(one for one in kept if is_wall(one) and _beside(one, document))
    return found


def _configured() -> list[Object]:
    """The walls that the controller makes of the configuration, by their names: what they say is not told here."""
    return [*wall.token_walls(()), *wall.pod_walls(()), *wall.certificate_walls(())]


def _texts() -> list[str]:
    folder = resources.files("vcproxy.manifests")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return [folder.joinpath(name).read_text() for name in names]


BOUNDS: Final = frozenset(
    {"vcproxy:controller", "vcproxy-controller", "vcproxy-controller-definitions", "vcproxy-controller-secrets"}
)
"""Names of what bounds the controller: it may not write them itself."""


def is_wall(document: Object) -> bool:
    """Whether the controller keeps this object as it was installed."""
    return document["kind"] in wall.PLURALS and document["metadata"]["name"] not in BOUNDS


def is_gate(document: Object) -> bool:
    """Whether this is the controller's own role: while it stands, of one's version, the installation is whole."""
    return (document["kind"], document["metadata"]["name"]) == ("ClusterRole", "vcproxy:controller")


def _beside(one: Object, other: Object) -> bool:
    """Whether both are of the same scope: a Role gives rights in its own namespace only."""
    return bool(one["metadata"].get("namespace") == other["metadata"].get("namespace"))


def holds_users(document: Object) -> bool:
    """Whether this is the role in which the controller keeps the users that the proxy may impersonate."""
    return (document["kind"], document["metadata"]["name"]) == ("ClusterRole", "vcproxy:impersonator")


def is_users(rule: Object) -> bool:
    return bool(rule.get("resources") == ["users"] and rule.get("verbs") == ["impersonate"])


def with_users(wanted: Object, found: Object) -> list[Object]:
    """The rules of a role, and the controller's rule of users as it is: nobody else may lock tenants out."""
    kept = [rule for rule in found.get("rules") or () if is_users(rule)] if holds_users(wanted) else []
    return [*wanted["rules"], *kept]


def path(document: Mapping[str, Any]) -> str:
    """The path of an object of the installation."""
    metadata = document["metadata"]
    return path_of(document["apiVersion"], PLURALS[document["kind"]], metadata.get("namespace", ""), metadata["name"])


class Installer:
    """Installs and uninstalls with an administrator's credential. `say` tells of progress."""

    def __init__(self, api: HostApi, version: str, say: Say, exports: Exports = NOTHING) -> None:
        self._api = api
        self._exports = exports
        self._version = version
        self._say = say

    async def install(self, new_keys: Callable[[], Mapping[str, bytes]], *, dry_run: bool = False) -> list[Change]:
        """Apply everything; made keys are never replaced. Raises InstallationError, HostError or ApiError."""
        wanted = objects(self._version, self._exports)
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
        if before and holds_users(document):
            document = {**document, "rules": with_users(document, before)}
        query = {"fieldManager": OWNER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        return await self._api.patch(f"{path(document)}?{urlencode(query)}", document, "application/apply-patch+yaml")

    async def _keys(self, new_keys: Callable[[], Mapping[str, bytes]], dry_run: bool) -> Change:
        """The Secret of keys, made once: to replace it would make every token and certificate worthless."""
        where = path_of("v1", "secrets", INSTALLATION, KEYS_SECRET)
        if await self._api.get(where) is not None:
            return Change("Secret", KEYS_SECRET, "unchanged")
        if not dry_run:
            data = {name: base64.b64encode(value).decode() for name, value in new_keys().items()}
            metadata = {"name": KEYS_SECRET, "namespace": INSTALLATION, "labels": {OWNER_LABEL: OWNER}}
            body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}
            await self._api.create(path_of("v1", "secrets", INSTALLATION), body)
        return Change("Secret", KEYS_SECRET, "created")

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
        secret = await self._api.get(path_of("v1", "secrets", INSTALLATION, f"{account}-token"))
        data = (secret or {}).get("data") or {}
        return base64.b64decode(data["token"]).decode() if "token" in data else None

    async def uninstall(self, *, dry_run: bool = False) -> list[Change]:
        """Remove everything of ours. Raises InstallationError while tenants exist.

        What lets a running controller put things back goes first.
        """
        await self._refuse_tenants()
        changes = []
        everything = [*objects(self._version), *_configured()][::-1]
        for document in sorted(everything, key=lambda one: not is_gate(one)):
            there = await self._api.get(path(document))
            if there is None or (there["metadata"].get("labels") or {}).get(OWNER_LABEL) != OWNER:
                continue
            if not dry_run:
                await self._api.delete(path(document), there["metadata"]["uid"])
            changes.append(Change(document["kind"], document["metadata"]["name"], "removed"))
        changes += await self._remove_webhook(dry_run)  # no controller may write it any more
        if changes and not dry_run:
            await self._wait_gone()
        return changes

    async def _remove_webhook(self, dry_run: bool) -> list[Change]:
        there = await self._api.get(pods_webhook.PATH)
        if there is None or (there["metadata"].get("labels") or {}).get(OWNER_LABEL) != OWNER:
            return []
        if not dry_run:
            await self._api.delete(pods_webhook.PATH, there["metadata"]["uid"])
        return [Change("MutatingWebhookConfiguration", pods_webhook.NAME, "removed")]

    async def _wait_gone(self) -> None:
        """Until the host has removed our namespace: an installation right after would find it Terminating."""
        self._say("waiting until the host has removed everything ...")
        with contextlib.suppress(TimeoutError):  # it goes on by itself
            async with asyncio.timeout(READY_DEADLINE):
                while await self._api.get(path_of("v1", "namespaces", name=INSTALLATION)):  # noqa: ASYNC110 - the host tells nobody
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
    if before is None or not holds_users(document):
        return False
    versions = [(one["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION) for one in (document, before)]
    return versions[0] == versions[1] and all(rule in (before.get("rules") or []) for rule in document["rules"])


def _action(before: Object | None, after: Object | None) -> str:
    if before is None:
        return "created"
    same = after is not None and before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
    return "unchanged" if same else "changed"


def _number(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split("-")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
