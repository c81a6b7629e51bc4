"""Generated roles and bindings, and questions about them, out of one seed."""

import json
import random
from typing import Any, Final, NamedTuple

from vcproxy.core import rbac_defaults
from vcproxy.core.rbac import Attributes, User
from vcproxy.core.rbac_policy import Policy

Object = dict[str, Any]
GROUP: Final = "rbac.authorization.k8s.io"
VERBS: Final = ("get", "list", "create", "delete", "*")
GROUPS: Final = ("", "apps", "x.example.com", "*")
RESOURCES: Final = ("pods", "pods/log", "secrets", "deployments", "deployments/scale", "*/scale", "*", "widgets")
NAMES: Final = ("one", "two", "three")
PATHS: Final = ("/metrics", "/metrics/*", "/logs/*", "*", "/healthz")


GRANTING: Final = ("escalate", "bind")
WRITTEN: Final = "w"
"""The name of what is written."""


class Maker:
    """Roles, bindings and questions out of one seed; `mark` stands in every name."""

    def __init__(self, seed: int, mark: str, spaces: tuple[str, str]) -> None:
        self._random = random.Random(seed)
        self.mark, self.spaces = mark, spaces
        self.users = [f"{mark}-ann", f"{mark}-bob", f"system:serviceaccount:{spaces[0]}:robot"]
        self.groups = [f"{mark}-dev", f"{mark}-ops", "system:authenticated"]

    def some(self, values: Any, most: int = 3, least: int = 1) -> list[Any]:
        return self._random.sample(list(values), min(self._random.randint(least, most), len(values)))

    def one(self, values: Any) -> Any:
        return self._random.choice(list(values))

    def rule(self, *, cluster: bool) -> dict[str, Any]:
        if cluster and self._random.random() < 0.2:
            return {"verbs": self.some(VERBS), "nonResourceURLs": self.some(PATHS, 2)}
        names = {"resourceNames": self.some(NAMES, 2)} if self._random.random() < 0.25 else {}
        return {"verbs": self.some(VERBS), "apiGroups": self.some(GROUPS, 2), "resources": self.some(RESOURCES)} | names

    def role(self, name: str, space: str) -> dict[str, Any]:
        rules = [self.rule(cluster=not space) for _ in range(self._random.randint(0, 3))]
        labels = {f"{self.mark}.example.com/to": self.one(("a", "b", "c"))}
        document = self.object("Role" if space else "ClusterRole", name, space, labels) | {"rules": rules}
        if not space and self._random.random() < 0.3:
            # those that gather do not gather each other in a circle: what comes of that depends on who was first
            key, outer = f"{self.mark}.example.com/to", self.one((True, False))
            labels[key] = "outer" if outer else "inner"
            chosen: list[Any] = [{"matchLabels": {key: "inner" if outer else self.one(("a", "b"))}}]
            chosen += [{"matchExpressions": [{"key": key, "operator": "In", "values": ["c"]}]}] * self.one((0, 1))
            document["aggregationRule"] = {"clusterRoleSelectors": chosen}
        return document

    def object(self, kind: str, name: str, space: str, labels: Any = None) -> dict[str, Any]:
        metadata = {"name": f"{self.mark}:{name}", "labels": labels or {}} | ({"namespace": space} if space else {})
        return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}

    def binding(self, name: str, space: str, roles: list[dict[str, Any]]) -> dict[str, Any]:
        fitting = [one for one in roles if one["metadata"].get("namespace", "") in ("", space)]
        role = self.one(fitting)
        subjects = [{"kind": "User", "apiGroup": GROUP, "name": self.one(self.users[:2])} for _ in self.some("ab", 2)]
        subjects += [
            {"kind": "Group", "apiGroup": GROUP, "name": self.one(self.groups[:2])} for _ in self.some("a", 1, 0)
        ]
        subjects += [
            {"kind": "ServiceAccount", "name": "robot", "namespace": self.one(self.spaces)}
            for _ in self.some("a", 1, 0)
        ]
        reference = {"apiGroup": GROUP, "kind": role["kind"], "name": role["metadata"]["name"]}
        kind = "RoleBinding" if space else "ClusterRoleBinding"
        return self.object(kind, name, space) | {"roleRef": reference, "subjects": subjects}

    def user(self) -> User:
        return User(self.one(self.users), tuple(self.some(self.groups, 3, 0)))

    def question(self) -> Attributes:
        verb = self.one((*VERBS, "watch"))
        if self._random.random() < 0.15:
            return Attributes(verb, path=self.one(("/metrics", "/metrics/a", "/logs/x/y", "/healthz", "/api", "/")))
        resource, _, sub = self.one((*RESOURCES[:5], "widgets", "widgets/scale", "things")).partition("/")
        space = self.one((*self.spaces, ""))
        return Attributes(verb, self.one(GROUPS[:3]), resource, sub, space, self.one(("", *NAMES)))


class Small(Maker):
    """A set of a few objects, of which some let somebody grant more than it holds. `writers` is a group."""

    def __init__(self, seed: int, mark: str, spaces: tuple[str, str], writers: str) -> None:
        super().__init__(seed, mark, spaces)
        self.users[2] = f"system:serviceaccount:{spaces[0]}:{mark}"
        self.writers = writers
        self.roles = [self.role(f"r{index}", self.one(("", *spaces))) for index in range(self._random.randint(1, 3))]
        most = self._random.randint(1, 3)
        fitting = [self.one(("", *spaces)) for _ in range(most)]
        pairs = [(index, space) for index, space in enumerate(fitting) if self._bindable(space)]
        self.bindings = [self.binding(f"b{index}", space, self.roles) for index, space in pairs]

    def _bindable(self, space: str) -> bool:
        return any(one["metadata"].get("namespace", "") in ("", space) for one in self.roles)

    def binding(self, name: str, space: str, roles: list[Object]) -> Object:
        made = super().binding(name, space, roles)
        for subject in made["subjects"]:
            if subject["kind"] == "ServiceAccount":
                subject["name"] = self.mark
        return made

    def rule(self, *, cluster: bool) -> Object:
        if self._random.random() < 0.6:
            return super().rule(cluster=cluster)
        names = {"resourceNames": self.some(self._role_names(), 3)} if self._random.random() < 0.5 else {}
        resources = self.some(("roles", "clusterroles", "*", "rolebindings"), 2)
        rule = {"verbs": self.some((*GRANTING, "*"), 2), "apiGroups": [self.one((GROUP, "*"))], "resources": resources}
        return rule | names

    def _role_names(self) -> list[str]:
        return ["view", *(f"{self.mark}:{name}" for name in ("r0", "r1", WRITTEN))]

    def question(self) -> Attributes:
        if self._random.random() < 0.7:
            return super().question()
        resource = self.one(("roles", "clusterroles"))
        name, space = self.one(("", *self._role_names())), self.one((*self.spaces, ""))
        return Attributes(self.one((*GRANTING, "get")), GROUP, resource, "", space, name)

    def writer(self) -> User:
        return User(self.one(self.users), (self.groups[0], self.writers, "system:authenticated"))

    def written(self) -> tuple[str, Object, Object | None]:
        """What somebody tries to write: the name in the URL (none for a POST), the object, and what stands there."""
        space, put = self.one(("", *self.spaces)), self.one((True, False))
        if self.one((True, False)):
            absent = self.object("ClusterRole", "absent", "")
            view = {"kind": "ClusterRole", "metadata": {"name": "view"}}
            document = self.binding(WRITTEN, space, [*self.roles, view, absent])
            return document["metadata"]["name"] if put else "", document, None
        plain = [one for one in self.roles if "aggregationRule" not in one]
        old = self.one(plain) if put and plain and self.one((True, False)) else None
        document = self.role(WRITTEN, old["metadata"].get("namespace", "") if old else space)
        if old is not None:
            document["metadata"]["name"] = old["metadata"]["name"]
        if old is not None and old["rules"] == document["rules"]:
            old = None  # nothing but what stands there: who may write that is another question
            document["metadata"]["name"] = f"{self.mark}:{WRITTEN}"
        return document["metadata"]["name"] if put else "", document, old


class Asked(NamedTuple):
    """One set of objects and one question about it; `documents` are all that count but those of every cluster."""

    mark: str
    documents: list[Object]
    user: User
    asked: Attributes

    def policy(self) -> Policy:
        return Policy.of(self.documents, rbac_defaults.policy())

    def answer(self) -> bool:
        return self.policy().allows(self.user, self.asked)

    def renamed(self, mark: str) -> "Asked":
        """The same under other names."""
        documents, user, asked = (
            json.loads(json.dumps(one).replace(self.mark, mark))
            for one in (self.documents, [self.user.name, self.user.groups], self._values())
        )
        return Asked(mark, documents, User(user[0], tuple(user[1])), Attributes(*asked))

    def _values(self) -> list[str]:
        return [getattr(self.asked, name) for name in self.asked.__struct_fields__]

    def smaller(self) -> "list[Asked]":
        """The same with one object, one rule, or one subject less each."""
        found = [self._with(at) for at in range(len(self.documents))]
        for at, document in enumerate(self.documents):
            for key in ("rules", "subjects"):
                for index in range(len(document.get(key) or ())):
                    found.append(self._with(at, {**document, key: _without(document[key], index)}))
        return found

    def _with(self, at: int, *others: Object) -> "Asked":
        return self._replace(documents=[*self.documents[:at], *others, *self.documents[at + 1 :]])

    def __str__(self) -> str:
        return "\n".join([*map(json.dumps, self.documents), f"{self.user} {self.asked}"])


def _without(items: list[Object], index: int) -> list[Object]:
    return [*items[:index], *items[index + 1 :]]
