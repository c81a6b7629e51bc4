"""A tenant's own APIs: what its CustomResourceDefinitions add to the kinds of its cluster.

On the host the group of such a kind is `<id>-<group>`, so that two tenants hold different versions of the same
definition; its objects keep their names, for the group keeps them apart. docs/architecture.md, "Kinds".
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vcproxy.core.kinds import ALL, PART, TABLE, Exposure, Kind
from vcproxy.core.names import SYSTEM_NAMESPACE, HostName, TenantId, VirtualName, down, up

DEFINITIONS: Final = ("apiextensions.k8s.io", "customresourcedefinitions")
Object = dict[str, Any]

BUILT_IN: Final = frozenset(group for group, _ in TABLE) | {"metrics.k8s.io", "shadow.vcproxy.io", "vcproxy.io"}
"""Groups in which no tenant defines kinds: they are the host's."""


class Version(msgspec.Struct, frozen=True):
    """A served version of a kind; `subresources` may hold status and scale."""

    name: str
    subresources: tuple[str, ...] = ()


class OwnApi(msgspec.Struct, frozen=True):
    """A kind that a tenant defined, in the tenant's names. `created` is in seconds since the epoch."""

    group: str
    resource: str
    kind: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    namespaced: bool
    versions: tuple[Version, ...]
    created: float

    def row(self) -> Kind:
        """What it is in the table of kinds; a subresource that some version has counts."""
        parts = {part for version in self.versions for part in version.subresources}
        verbs = MappingProxyType(dict.fromkeys(sorted(parts), PART))
        return Kind(self.group, self.resource, self.kind, self.namespaced, Exposure.OWN, ALL, verbs, frozenset(), True)


class OwnApis(msgspec.Struct, frozen=True):
    """All of them, as one value: made anew when any of them changes.

    `definitions` are the names of all its CustomResourceDefinitions, of those that are not served yet, too.
    """

    apis: tuple[OwnApi, ...] = ()
    rows: Mapping[tuple[str, str], Kind] = MappingProxyType({})
    versions: frozenset[tuple[str, str]] = frozenset()
    groups: frozenset[str] = frozenset()
    revision: str = ""
    definitions: frozenset[str] = frozenset()

    def find(self, group: str, resource: str) -> Kind | None:
        """The row of a kind that the tenant defined, or None."""
        return self.rows.get((group, resource))

    def serves(self, group: str, version: str, resource: str) -> bool:
        """Whether a kind is served in a version: those of one group need not have the same ones."""
        found = (api for api in self.apis if (api.group, api.resource) == (group, resource))
        return any(one.name == version for api in found for one in api.versions)

    def made(self, group: str, resource: str) -> float | None:
        """When a kind was defined, in seconds since the epoch."""
        return next((api.created for api in self.apis if (api.group, api.resource) == (group, resource)), None)


NONE: Final = OwnApis()


def collect(apis: Iterable[OwnApi], revision: str, definitions: Iterable[str]) -> OwnApis:
    """The value of a tenant's kinds; `revision` is another after each change."""
    found = tuple(sorted(apis, key=lambda api: (api.group, api.resource)))
    return OwnApis(
        found,
        MappingProxyType({(api.group, api.resource): api.row() for api in found}),
        frozenset((api.group, version.name) for api in found for version in api.versions),
        frozenset(api.group for api in found),
        revision,
        frozenset(definitions),
    )


def parse(definition: Object, tenant: TenantId, created: float) -> OwnApi | None:
    """The kind of a CustomResourceDefinition of the host; None while it is not served, or is not the tenant's."""
    spec = definition.get("spec") or {}
    group = down(tenant, HostName(str(spec.get("group"))))
    if group is None or group in BUILT_IN or not _established(definition):
        return None
    names = (definition.get("status") or {}).get("acceptedNames") or spec.get("names") or {}
    versions = sorted((one for one in spec.get("versions") or () if one.get("served")), key=_priority)
    return OwnApi(
        group=group,
        resource=str(names.get("plural")),
        kind=str(names.get("kind")),
        singular=str(names.get("singular") or names.get("kind", "")).lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec.get("scope") == "Namespaced",
        versions=tuple(
            Version(str(one.get("name")), tuple(sorted({"status", "scale"} & (one.get("subresources") or {}).keys())))
            for one in versions
        ),
        created=created,
    )


def _established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)


def _priority(version: Object) -> tuple[Any, ...]:
    """The order of versions (KEP: version priority; apimachinery/pkg/version.CompareKubeAwareVersionStrings)."""
    name = str(version.get("name"))
    head, digits = name[:1], name[1:]
    for rank, stage in enumerate(("", "beta", "alpha")):
        major, found, minor = digits.partition(stage) if stage else (digits, "", "0")
        if head == "v" and major.isdigit() and minor.isdigit() and (found or not stage):
            return 0, rank, -int(major), -int(minor), name
    return (1, name)


# Names ---------------------------------------------------------------------------------------------------------------


def host_group(row: Kind, tenant: TenantId) -> str:
    """The group that a kind has on the host."""
    return up(tenant, VirtualName(row.group)) if row.exposure is Exposure.OWN else row.group


def stands(tenant: TenantId, namespace: str) -> bool:
    """Whether a namespace of the host is one in which a tenant sees the objects of its own kinds."""
    return down(tenant, HostName(namespace)) not in (None, SYSTEM_NAMESPACE)


def definition_up(tenant: TenantId, name: str) -> str:
    """The host name of a definition: `<plural>.<group>` with the prefix before the group."""
    plural, dot, group = name.partition(".")
    return f"{plural}.{up(tenant, VirtualName(group))}" if dot else up(tenant, VirtualName(name))


def definition_down(tenant: TenantId, name: str) -> str:
    """The tenant's name of a definition; of a foreign one the name as it is."""
    plural, dot, group = name.partition(".")
    own = down(tenant, HostName(group if dot else name))
    if own is None:
        return name
    return f"{plural}.{own}" if dot else own


# Discovery -----------------------------------------------------------------------------------------------------------


def group_discovery(apis: OwnApis) -> list[Object]:
    """The items of an APIGroupDiscoveryList (apidiscovery.k8s.io/v2) for a tenant's own kinds."""
    return [_group(apis, group) for group in sorted(apis.groups)]


def _group(apis: OwnApis, group: str) -> Object:
    own = [api for api in apis.apis if api.group == group]
    names = dict.fromkeys(version.name for api in own for version in api.versions)
    ordered = sorted(names, key=lambda name: _priority({"name": name}))
    return {"metadata": {"name": group}, "versions": [_version(own, name) for name in ordered]}


def _version(own: list[OwnApi], name: str) -> Object:
    resources = [_resource(api, name, version) for api in own for version in api.versions if version.name == name]
    return {"version": name, "resources": resources, "freshness": "Current"}


_VERBS: Final = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]


def _resource(api: OwnApi, name: str, version: Version) -> Object:
    kind = {"group": api.group, "version": name, "kind": api.kind}
    found: Object = {
        "resource": api.resource,
        "responseKind": kind,
        "scope": "Namespaced" if api.namespaced else "Cluster",
        "singularResource": api.singular,
        "verbs": _VERBS,
    }
    found |= {"shortNames": list(api.short_names)} if api.short_names else {}
    found |= {"categories": list(api.categories)} if api.categories else {}
    scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    parts = [
        {"subresource": part, "responseKind": scale if part == "scale" else kind, "verbs": ["get", "patch", "update"]}
        for part in version.subresources
    ]
    return found | ({"subresources": parts} if parts else {})
