"""What a tenant owns on the host, as metadata: found by label and prefix, deleted by uid."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from vcproxy.core.names import TENANT_LABEL, HostName, TenantId, down
from vcproxy.tenants.hostapi import METADATA_LIST, HostApi, HostError, KindPath, Object, collection_of

NAMESPACES: Final[KindPath] = ("", "v1", "namespaces")
CLUSTER_KINDS: Final[tuple[KindPath, ...]] = (
    ("", "v1", "persistentvolumes"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("networking.k8s.io", "v1", "ingressclasses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("resource.k8s.io", "v1", "deviceclasses"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("storage.k8s.io", "v1", "csidrivers"),
    ("storage.k8s.io", "v1", "storageclasses"),
    ("storage.k8s.io", "v1", "volumeattachments"),
    ("storage.k8s.io", "v1", "volumeattributesclasses"),
)
"""Cluster-scoped kinds in which a tenant may own objects, and so in which its prefix must be free."""


class Owned:
    """Namespaces and objects of cluster scope. Metadata is a dict with keys name, uid, labels. Raises HostError."""

    def __init__(self, api: HostApi, cluster_kinds: Iterable[KindPath] = CLUSTER_KINDS) -> None:
        self._api = api
        self._cluster_kinds = tuple(cluster_kinds)

    @property
    def kinds(self) -> tuple[KindPath, ...]:
        """All kinds in which the tenant's prefix counts."""
        return (NAMESPACES, *self._cluster_kinds)

    async def namespaces(self, tenant: TenantId) -> list[Object]:
        """The metadata of a tenant's namespaces."""
        found = await self.metadata(NAMESPACES, _owned_by(tenant))
        return [metadata for metadata in found if _is_own(metadata, tenant)]

    async def metadata(self, kind: KindPath, query: Mapping[str, str]) -> list[Object]:
        """The metadata of all objects of a kind; none where the host does not serve it."""
        path = collection_of(kind)
        try:
            return [item.get("metadata") or {} async for item in self._api.items(path, query, METADATA_LIST)]
        except HostError as error:
            if error.code != 404:
                raise
            return []

    async def foreign(self, kind: KindPath, tenant: TenantId) -> list[str]:
        """What has the tenant's prefix and is not the tenant's, each as `resource/name`."""
        return [
            f"{kind[2]}/{metadata['name']}"
            for metadata in await self.metadata(kind, {})
            if _owned_name(kind, metadata).startswith(f"{tenant}-") and not labelled(metadata, tenant)
        ]

    async def delete(self, kind: KindPath, metadata: Mapping[str, object]) -> None:
        """Delete one object, unless that is under way."""
        if not metadata.get("deletionTimestamp"):
            await self._api.delete(collection_of(kind, name=str(metadata["name"])), str(metadata.get("uid")))

    async def delete_cluster_objects(self, tenant: TenantId) -> int:
        """Delete what the tenant owns at cluster scope; how much of it there was."""
        count = 0
        for kind in self._cluster_kinds:
            for metadata in await self.metadata(kind, _owned_by(tenant)):
                if _owned_name(kind, metadata).startswith(f"{tenant}-"):
                    await self.delete(kind, metadata)
                    count += 1
        return count


def labelled(metadata: Mapping[str, Any], tenant: TenantId) -> bool:
    """Whether the label names the tenant."""
    return (metadata.get("labels") or {}).get(TENANT_LABEL) == tenant


def _is_own(metadata: Mapping[str, Any], tenant: TenantId) -> bool:
    """Whether label and prefix both say so."""
    return labelled(metadata, tenant) and down(tenant, HostName(str(metadata.get("name")))) is not None


def _owned_by(tenant: TenantId) -> dict[str, str]:
    return {"labelSelector": f"{TENANT_LABEL}={tenant}"}


def _owned_name(kind: KindPath, metadata: Mapping[str, Any]) -> str:
    """What carries the prefix: the name, and of a CustomResourceDefinition the group behind its plural."""
    name = str(metadata.get("name"))
    return name.partition(".")[2] if kind[2] == "customresourcedefinitions" else name
