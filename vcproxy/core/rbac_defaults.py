"""Roles and bindings that every tenant has, read-only: Kubernetes' own, and vcproxy's for people.

Those of Kubernetes stand in rbac_defaults.json, written by scripts/generate-rbac-defaults. vcproxy's own are roles for
the people of a tenant (docs/rights.md), and what binds the group of its first administrators.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vcproxy.core.rbac import GROUP
from vcproxy.core.rbac_policy import Policy

Object = dict[str, Any]
VERSION: Final = f"{GROUP}/v1"
ADMIN_GROUP: Final = "tenant:admin"
"""Whoever is in it may do everything in its tenant."""


def _aggregate(name: str, label: str) -> Object:
    selector = {"matchLabels": {f"rbac.authorization.k8s.io/aggregate-to-{label}": "true"}}
    return _role(name) | {"aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": None}


def _role(name: str) -> Object:
    return {"kind": "ClusterRole", "apiVersion": VERSION, "metadata": {"name": name}}


_EVERYTHING: Final = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]
_OWN: Final[tuple[Object, ...]] = (
    _role("tenant-admin") | {"rules": _EVERYTHING},
    _aggregate("tenant-edit", "edit"),
    _aggregate("tenant-view", "view"),
    {
        "kind": "ClusterRoleBinding",
        "apiVersion": VERSION,
        "metadata": {"name": "vcproxy:tenant-admin"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "tenant-admin"},
        "subjects": [{"kind": "Group", "apiGroup": GROUP, "name": ADMIN_GROUP}],
    },
)


@cache
def documents() -> Mapping[str, tuple[Object, ...]]:
    """The objects by kind, as the API has them but for uid, resourceVersion and time. Not to be changed."""
    raw = resources.files("vcproxy.core").joinpath("rbac_defaults.json").read_bytes()
    found: dict[str, list[Object]] = {}
    for document in (*msgspec.json.decode(raw, type=list[dict[str, Any]]), *_OWN):
        found.setdefault(str(document["kind"]), []).append(document)
    return MappingProxyType({kind: tuple(items) for kind, items in found.items()})


@cache
def policy() -> Policy:
    """What they allow, to stand behind each tenant's own."""
    return Policy.of(document for items in documents().values() for document in items)
