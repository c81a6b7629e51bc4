"""Rules of Kubernetes RBAC, and whether one allows or covers something.

They are those of k8s.io/kubernetes: plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac/validation and
pkg/apis/rbac/v1/evaluation_helpers.go. Objects are plain documents in the tenant's names.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

Object = dict[str, Any]

MASTERS: Final = "system:masters"
GROUP: Final = "rbac.authorization.k8s.io"
ALL: Final = "*"


class Attributes(msgspec.Struct, frozen=True):
    """What is asked about, as k8s.io/apiserver's authorizer.Attributes. Without `resource` only verb and path count."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class User(msgspec.Struct, frozen=True, cache_hash=True):
    """Who asks. `groups` are all that count, `system:authenticated` among them where it shall."""

    name: str
    groups: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, cache_hash=True):
    """A PolicyRule."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Object) -> "Rule":
        """The rule of a document as the API has it (rbac/v1 PolicyRule)."""
        keys = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(document.get(key) or ()) for key in keys))

    def document(self) -> Object:
        """The same as the API has it."""
        pairs = (
            ("verbs", self.verbs),
            ("apiGroups", self.groups),
            ("resources", self.resources),
            ("resourceNames", self.names),
            ("nonResourceURLs", self.urls),
        )
        return {key: list(values) for key, values in pairs if values or key == "verbs"}

    def allows(self, asked: Attributes) -> bool:
        """Whether the rule allows what is asked (rbac.RuleAllows)."""
        if ALL not in self.verbs and asked.verb not in self.verbs:
            return False
        if not asked.resource:
            return any(_url_covers(url, asked.path) for url in self.urls)
        if ALL not in self.groups and asked.group not in self.groups:
            return False
        return self._of_resource(asked) and (not self.names or asked.name in self.names)

    def _of_resource(self, asked: Attributes) -> bool:
        if ALL in self.resources:
            return True
        if not asked.subresource:
            return asked.resource in self.resources
        return f"{asked.resource}/{asked.subresource}" in self.resources or f"*/{asked.subresource}" in self.resources

    def covers(self, other: "Rule") -> bool:
        """Whether all of a broken-down rule is in this one (validation.ruleCovers)."""
        return (
            _has_all(self.verbs, other.verbs)
            and _has_all(self.groups, other.groups)
            and all(_resource_covered(self.resources, one) for one in other.resources)
            and all(any(_url_covers(own, one) for own in self.urls) for one in other.urls)
            and (not self.names or (bool(other.names) and set(other.names) <= set(self.names)))
        )

    def __str__(self) -> str:
        """As the API server writes it in refusals (rbac.PolicyRule.CompactString)."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        shown = (f"{key}:[{' '.join(map(quoted, values))}]" for key, values in parts if values)
        return "{" + ", ".join(shown) + "}"


def quoted(text: str) -> str:
    """A text as Go's %q writes one without odd characters."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _has_all(own: Sequence[str], wanted: Sequence[str]) -> bool:
    return ALL in own or all(one in own for one in wanted)


def _resource_covered(own: Sequence[str], wanted: str) -> bool:
    _, slash, sub = wanted.partition("/")
    return ALL in own or wanted in own or (bool(slash) and f"*/{sub}" in own)


def _url_covers(own: str, wanted: str) -> bool:
    return own in (ALL, wanted) or (own.endswith(ALL) and wanted.startswith(own.rstrip(ALL)))
