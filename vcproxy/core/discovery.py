"""Discovery, filtered to what a tenant may see.

The host is asked for aggregated discovery only (KEP-3352); the plain documents are made of it, so that both always
agree. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from vcproxy.core import media

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""The media type of aggregated discovery, as asked for and as answered."""

Document = dict[str, Any]


class Visibility(Protocol):
    """Which kinds and verbs a tenant may know of."""

    def resource(self, group: str, resource: str) -> bool: ...

    def subresource(self, group: str, resource: str, sub: str) -> bool: ...

    def verbs(self, group: str, resource: str, subresource: str, verbs: list[str]) -> list[str]:
        """Those of `verbs` that a tenant may use."""
        ...


def filtered(aggregated: Document, visible: Visibility) -> Document:
    """An APIGroupDiscoveryList without what is hidden; groups and versions of which nothing is left are gone."""
    groups = []
    for group in aggregated.get("items") or ():
        name = group.get("metadata", {}).get("name", "")
        versions = [_version(name, version, visible) for version in group.get("versions") or ()]
        kept = [version for version in versions if version["resources"]]
        if kept:
            groups.append({"metadata": {"name": name} if name else {}, "versions": kept})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": groups}


def _version(group: str, version: Document, visible: Visibility) -> Document:
    resources = [
        _resource(group, resource, visible)
        for resource in version.get("resources") or ()
        if visible.resource(group, resource["resource"])
    ]
    return {**version, "resources": resources}


def _resource(group: str, resource: Document, visible: Visibility) -> Document:
    name = resource["resource"]
    kept = {**resource, "verbs": visible.verbs(group, name, "", resource.get("verbs") or [])}
    subresources = [
        {**sub, "verbs": visible.verbs(group, name, sub["subresource"], sub.get("verbs") or [])}
        for sub in resource.get("subresources") or ()
        if visible.subresource(group, name, sub["subresource"])
    ]
    kept.pop("subresources", None)
    return {**kept, "subresources": subresources} if subresources else kept


def group_versions(*aggregated: Document) -> frozenset[tuple[str, str]]:
    """The (group, version) pairs of aggregated documents."""
    return frozenset(
        (group.get("metadata", {}).get("name", ""), version["version"])
        for document in aggregated
        for group in document["items"]
        for version in group["versions"]
    )


# Plain documents, made of the aggregated one -------------------------------------------------------------------------


def api_versions(core: Document, address: str) -> Document:
    """`/api`: the versions of the core group. `address` is host:port of this cluster's API server."""
    versions = [version["version"] for group in core["items"] for version in group["versions"]]
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": servers}


def api_group_list(groups: Document) -> Document:
    """`/apis`."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_api_group(group) for group in groups["items"]]}


def api_group(groups: Document, name: str) -> Document | None:
    """`/apis/<group>`, or None where the group is not there."""
    for group in groups["items"]:
        if group["metadata"].get("name") == name:
            return {"kind": "APIGroup", "apiVersion": "v1", **_api_group(group)}
    return None


def _api_group(group: Document) -> Document:
    name = group["metadata"]["name"]
    versions = [{"groupVersion": f"{name}/{v['version']}", "version": v["version"]} for v in group["versions"]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def storage_hashes(host: Document) -> dict[str, str]:
    """The storageVersionHash of each resource, by name, in the host's own APIResourceList.

    Aggregated discovery does not carry it, and it cannot be computed: it stands for the version in the host's storage.
    """
    return {
        resource["name"]: resource["storageVersionHash"]
        for resource in host.get("resources") or ()
        if resource.get("storageVersionHash")
    }


def api_resource_list(
    aggregated: Document, group: str, version: str, hashes: Mapping[str, str] | None = None
) -> Document | None:
    """`/api/v1` and `/apis/<group>/<version>`, or None where there is no such version.

    `hashes` are the storageVersionHashes to show (`storage_hashes`), by name of the resource.
    """
    for found in aggregated["items"]:
        if found["metadata"].get("name", "") != group:
            continue
        for served in found["versions"]:
            if served["version"] == version:
                resources = [
                    one for resource in served["resources"] for one in _api_resources(resource, group, hashes or {})
                ]
                head = {"kind": "APIResourceList", "apiVersion": "v1"} if group else {"kind": "APIResourceList"}
                name = f"{group}/{version}" if group else version
                return {**head, "groupVersion": name, "resources": resources}
    return None


def _api_resources(resource: Document, group: str, hashes: Mapping[str, str]) -> Iterable[Document]:
    name, namespaced = resource["resource"], resource.get("scope") == "Namespaced"
    kind = resource["responseKind"]["kind"]
    yield {
        "name": name,
        "singularName": resource.get("singularResource", ""),
        "namespaced": namespaced,
        "kind": kind,
        "verbs": resource["verbs"],
        **{key: resource[key] for key in ("shortNames", "categories") if resource.get(key)},
        **({"storageVersionHash": hashes[name]} if name in hashes else {}),
    }
    for sub in resource.get("subresources") or ():
        answered = sub.get("responseKind") or {}
        yield {
            "name": f"{name}/{sub['subresource']}",
            "singularName": "",
            "namespaced": namespaced,
            **_foreign(answered, group),
            "kind": answered.get("kind") or kind,
            "verbs": sub["verbs"],
        }


def _foreign(kind: Document, group: str) -> Document:
    """The group and version of a subresource's kind where it is of another group: a Scale, an Eviction."""
    if kind.get("group", "") in (group, ""):
        return {}
    return {"group": kind["group"], "version": kind["version"]}


def wants_aggregated(accept: str | None) -> bool:
    """Whether a client gets aggregated discovery: where any clause asks for v2 of it as JSON, whatever stands before.

    So the API server decides (apiserver's DiscoveryEndpointRestrictions, tried on 1.37); it gives no v2beta1 any more.
    """
    return any(
        clause.media == media.JSON and _is_aggregated(clause.parameters) for clause in media.clauses(accept or "")
    )


def _is_aggregated(parameters: Mapping[str, str]) -> bool:
    wanted = {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}
    return all(parameters.get(key) == value for key, value in wanted.items())
