"""Roles, bindings and questions for tests of RBAC, in few words."""

from typing import Any

from vcproxy.core import rbac_defaults
from vcproxy.core.rbac import Attributes, User
from vcproxy.core.rbac_policy import Policy

GROUP = "rbac.authorization.k8s.io"
ANN = User("ann", ("dev", "system:authenticated"))
MASTER = User("root", ("system:masters", "system:authenticated"))


def role(name: str, *rules: dict[str, Any], space: str = "", labels: Any = None, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels or {}} | ({"namespace": space} if space else {})
    kind = "Role" if space else "ClusterRole"
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "rules": list(rules), **fields}


def bind(role_name: str, *subjects: dict[str, str], space: str = "", kind: str = "ClusterRole") -> dict[str, Any]:
    metadata = {"name": f"b-{role_name}"} | ({"namespace": space} if space else {})
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if space else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role_name},
        "subjects": list(subjects),
    }


def rule(verbs: str, resources: str = "", groups: str = "", names: str = "", urls: str = "") -> dict[str, Any]:
    pairs = {"verbs": verbs.split(), "resources": resources.split(), "resourceNames": names.split()}
    made = {key: values for key, values in pairs.items() if values}
    if resources:
        made["apiGroups"] = groups.split() or [""]
    return made | ({"nonResourceURLs": urls.split()} if urls else {})


USER = {"kind": "User", "name": "ann", "apiGroup": GROUP}
DEV = {"kind": "Group", "name": "dev", "apiGroup": GROUP}


def policy(*documents: dict[str, Any]) -> Policy:
    return Policy.of(documents, rbac_defaults.policy())


def pods(verb: str, space: str = "web", name: str = "", sub: str = "", group: str = "") -> Attributes:
    return Attributes(verb, group, "pods", sub, space, name)
