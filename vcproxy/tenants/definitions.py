"""The rights of tenants on the kinds that they define: one ClusterRole and one binding for each that defines any.

Their groups begin with the tenant's prefix, so the rights may count at cluster scope: nobody else has objects of these
groups, and the admission policy keeps them out of other tenants' namespaces. Resources are listed, never `*`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from vcproxy.core.kinds import ALL, PART
from vcproxy.core.names import TENANT_LABEL, HostName, TenantId, down, tenant_id
from vcproxy.tenants.hostapi import METADATA_LIST, HostApi, HostError, Object, path_of
from vcproxy.tenants.manifests import RBAC, RBAC_GROUP, controller_subject, tenant_subject

NAME: Final = "vcproxy:apis:"
"""The policy `vcproxy-controller` says what may stand in roles whose names begin so."""
_OPEN: Final[Object] = {
    "served": True,
    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
}
"""A version whose objects can all be written: all that the policy `vcproxy-controller-definitions` allows."""
COLLECTION: Final = path_of("apiextensions.k8s.io/v1", "customresourcedefinitions")


class Definition(msgspec.Struct, frozen=True):
    """A CustomResourceDefinition of a tenant, as far as rights go; `group` is the host's.

    `version` is one that is served, or empty; `versions` are all, each with whether its objects are stored in it.
    """

    tenant: TenantId
    group: str
    version: str
    resource: str
    subresources: tuple[str, ...]
    uid: str = ""
    versions: tuple[tuple[str, bool], ...] = ()


def parse(document: Object) -> Definition | None:
    """The definition, or None where label and prefix do not agree."""
    spec, metadata = document.get("spec") or {}, document.get("metadata") or {}
    group = HostName(str(spec.get("group")))
    try:
        owner = tenant_id(str((metadata.get("labels") or {}).get(TENANT_LABEL)))
    except ValueError:
        return None
    if down(owner, group) is None:
        return None
    versions = spec.get("versions") or ()
    served = [version for version in versions if version.get("served")]
    return Definition(
        owner,
        group,
        str(served[0].get("name")) if served else "",
        str((spec.get("names") or {}).get("plural")),
        tuple(sorted({part for version in served for part in version.get("subresources") or ()})),
        str(metadata.get("uid", "")),
        tuple((str(version.get("name")), bool(version.get("storage"))) for version in versions),
    )


def rules(definitions: Iterable[Definition]) -> list[Object]:
    """The rules for all that a tenant defined, a rule for each group and set of verbs, in order."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for one in definitions:
        whole, parts = found.setdefault(one.group, (set(), set()))
        whole.add(one.resource)
        parts.update(f"{one.resource}/{part}" for part in one.subresources)
    made: list[Object] = []
    for group, (whole, parts) in sorted(found.items()):
        made.append({"apiGroups": [group], "resources": sorted(whole), "verbs": sorted(ALL)})
        made += [{"apiGroups": [group], "resources": sorted(parts), "verbs": sorted(PART)}] if parts else []
    return made


class Standing(msgspec.Struct, frozen=True):
    """A role or binding of these as it stands on the host; `parts` is what it says."""

    tenant: TenantId
    uid: str
    parts: Object


def parse_standing(document: Object) -> Standing | None:
    """The object, or None where its name is not of the sort that is kept here."""
    metadata = document.get("metadata") or {}
    name = str(metadata.get("name"))
    if not name.startswith(NAME):
        return None
    return Standing(TenantId(name.removeprefix(NAME)), str(metadata.get("uid")), _said(document))


def _said(document: Object) -> Object:
    return {key: document[key] for key in ("rules", "aggregationRule", "roleRef", "subjects") if document.get(key)}


class DefinitionRights:
    """Keeps the role and binding of each tenant as its definitions want them.

    `standing` gives those that stand there now, by resource; it may be late, by as much as a watch is.
    """

    def __init__(self, api: HostApi, standing: Callable[[TenantId], Mapping[str, Standing]]) -> None:
        self._api = api
        self._standing = standing

    async def keep(self, tenant: TenantId, definitions: Iterable[Definition], *, again: bool) -> None:
        """Write what is missing or was changed; `again`: all of it."""
        wanted, standing = rules(definitions), self._standing(tenant)
        if not wanted:
            return await self.remove(tenant) if standing or again else None
        for resource, document in (("clusterroles", _role(tenant, wanted)), ("clusterrolebindings", _binding(tenant))):
            found = standing.get(resource)
            if again or found is None or found.parts != _said(document):
                await self._put_back(_path(resource, tenant), document, found)
        return None

    async def _put_back(self, path: str, document: Object, found: Standing | None) -> None:
        """An apply leaves what others added, and nobody may change a roleRef: such an object is made anew."""
        if found is not None and _fixed(found.parts) != _fixed(document):
            await self._delete(path, found.uid)
        await self._api.apply(path, document)

    async def strip(self, tenant: TenantId, definitions: Iterable[Definition]) -> None:
        """Take the finalizers off all objects that are being deleted: the tenant goes, so nobody else will."""
        found = list(definitions)
        if not found:
            return
        await self._api.apply(_path("clusterroles", tenant), _role(tenant, rules(found)))
        await self._api.apply(_path("clusterrolebindings", tenant), _binding(tenant, controller_subject()))
        for one in found:
            try:
                await self._let_go(one)
            except HostError as error:
                if error.code not in (403, 404, 409):  # the rights count in a moment; gone; another by now
                    raise

    async def _let_go(self, one: Definition) -> None:
        """Take finalizers off the objects of a kind; where they cannot be written, see to it that the next look can."""
        if not one.version:
            return await self._open(one)
        try:
            await self._strip(one)
        except HostError as error:
            if error.code != 422:  # objects that the schema of now refuses
                raise
            await self._open(one)
        return None

    async def _open(self, one: Definition) -> None:
        """Have all versions of a definition served, and take any content: its tenant may have seen to neither."""
        path = path_of("apiextensions.k8s.io/v1", "customresourcedefinitions", name=f"{one.resource}.{one.group}")
        versions = [{"name": name, "storage": storage, **_OPEN} for name, storage in one.versions]
        await self._api.merge(path, {"metadata": {"uid": one.uid}, "spec": {"versions": versions}})

    async def _strip(self, one: Definition) -> None:
        path = path_of(f"{one.group}/{one.version}", one.resource)
        async for item in self._api.items(path, {}, METADATA_LIST):
            metadata = item.get("metadata") or {}
            if metadata.get("finalizers") and metadata.get("deletionTimestamp"):
                space, name = str(metadata.get("namespace") or ""), str(metadata.get("name"))
                where = path_of(f"{one.group}/{one.version}", one.resource, space, name)
                await self._api.merge(where, {"metadata": {"uid": metadata.get("uid"), "finalizers": []}})

    async def remove(self, tenant: TenantId) -> None:
        """Nothing of it stays."""
        for resource in ("clusterrolebindings", "clusterroles"):
            found = await self._api.get(_path(resource, tenant))
            if found is not None:
                await self._delete(_path(resource, tenant), str(found["metadata"]["uid"]))

    async def _delete(self, path: str, uid: str) -> None:
        try:
            await self._api.delete(path, uid)
        except HostError as error:
            if error.code not in (404, 409):  # gone, or another by now: its event comes
                raise


def _fixed(parts: Object) -> list[Object | None]:
    return [parts.get(key) for key in ("roleRef", "aggregationRule")]


def _path(resource: str, tenant: TenantId) -> str:
    return path_of(RBAC, resource, name=f"{NAME}{tenant}")


def _object(kind: str, tenant: TenantId, **parts: Any) -> Object:
    metadata = {"name": f"{NAME}{tenant}", "labels": {TENANT_LABEL: str(tenant)}}
    return {"apiVersion": RBAC, "kind": kind, "metadata": metadata, **parts}


def _role(tenant: TenantId, wanted: list[Object]) -> Object:
    return _object("ClusterRole", tenant, rules=wanted)


def _binding(tenant: TenantId, *others: Object) -> Object:
    reference = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": f"{NAME}{tenant}"}
    return _object("ClusterRoleBinding", tenant, roleRef=reference, subjects=[tenant_subject(tenant), *others])
