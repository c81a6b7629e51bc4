"""Generated roles and bindings, and thousands of questions: vcproxy's evaluator and the API server answer alike.

The objects stand on the host itself for a while, under names that nobody else has; vcproxy is not in between.
"""

import contextlib
import http.client
import json
import random
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from e2e.clients.followers import Access, Requests
from e2e.cluster.host import Host
from vcproxy.core import escalation, rbac_defaults
from vcproxy.core.rbac import Attributes, Rule, User
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.status import ApiError

GROUP: Final = "rbac.authorization.k8s.io"
RULES: Final = f"/apis/{GROUP}/v1"
REVIEWS: Final = "/apis/authorization.k8s.io/v1"
SETS: Final = 8
FOUND: Final = (2940186524,)
"""Sets of which one once gave another answer here than there."""
QUESTIONS: Final = 400
"""Questions about each set."""
WRITES: Final = 60
"""Roles and bindings that a user tries to write, in each set."""
VERBS: Final = ("get", "list", "create", "delete", "*")
GROUPS: Final = ("", "apps", "x.example.com", "*")
RESOURCES: Final = ("pods", "pods/log", "secrets", "deployments", "deployments/scale", "*/scale", "*", "widgets")
NAMES: Final = ("one", "two", "three")
PATHS: Final = ("/metrics", "/metrics/*", "/logs/*", "*", "/healthz")


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


class Plain:
    """The API server itself, as an administrator."""

    def __init__(self, host: Host) -> None:
        self.access = Access(host.kubeconfig)
        self._requests = Requests(self.access)
        self._made: list[str] = []

    def create(self, document: dict[str, Any]) -> None:
        path = collection(document)
        code, answer = self._requests.call("POST", path, document)
        assert code == 201, answer
        self._made.append(f"{path}/{document['metadata']['name']}")

    def ask(self, user: User, asked: Attributes) -> bool:
        spec: dict[str, Any] = {"user": user.name, "groups": list(user.groups)}
        if asked.resource:
            keys = ("verb", "group", "resource", "subresource", "namespace", "name")
            spec["resourceAttributes"] = {key: getattr(asked, key) for key in keys}
        else:
            spec["nonResourceAttributes"] = {"verb": asked.verb, "path": asked.path}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        code, answer = self._requests.call("POST", f"{REVIEWS}/subjectaccessreviews", body)
        assert code == 201, answer
        return bool(answer["status"]["allowed"])

    def rules(self, user: User, space: str) -> set[Rule]:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": space}}
        code, answer = self.as_user(user, "POST", f"{REVIEWS}/selfsubjectrulesreviews", body)
        assert code == 201, answer
        found = answer["status"]
        return {sorted_rule(Rule.of(one)) for one in [*found["resourceRules"], *found["nonResourceRules"]]}

    def as_user(self, user: User, method: str, path: str, body: Any) -> tuple[int, Any]:
        """As somebody else; the server adds system:authenticated itself."""
        connection = self.access.connect(10.0)
        try:
            connection.putrequest(method, path)
            raw = json.dumps(body).encode()
            connection.putheader("Impersonate-User", user.name)
            for group in user.groups:
                connection.putheader("Impersonate-Group", group)
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(raw)))
            connection.endheaders(raw)
            response: http.client.HTTPResponse = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def close(self) -> None:
        for path in reversed(self._made):
            with contextlib.suppress(OSError):
                self._requests.call("DELETE", path)
        self._requests.close()


def collection(document: dict[str, Any]) -> str:
    space = document["metadata"].get("namespace", "")
    return f"{RULES}/{f'namespaces/{space}/' if space else ''}{document['kind'].lower()}s"


def sorted_rule(rule: Rule) -> Rule:
    values = ((*rule.verbs,), (*rule.groups,), (*rule.resources,), (*rule.names,), (*rule.urls,))
    return Rule(*(tuple(sorted(value)) for value in values))


@pytest.fixture
def plain(host: Host) -> Iterator[Plain]:
    found = Plain(host)
    yield found
    found.close()


def stand(plain: Plain, maker: Maker) -> Policy:
    """One set of objects on the API server, once they count there, and the same as a policy."""
    roles = [maker.role(f"r{index}", maker.one(("", *maker.spaces))) for index in range(8)]
    roles.append(maker.object("ClusterRole", "plain", "") | {"rules": [maker.rule(cluster=True)]})
    bindings = [maker.binding(f"b{index}", maker.one(("", *maker.spaces)), roles) for index in range(7)]
    writer = maker.object("ClusterRole", "writer", "") | {
        "rules": [{"verbs": ["create"], "apiGroups": [GROUP], "resources": ["*"]}]
    }
    bound = maker.object("ClusterRoleBinding", "writer", "") | {
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": writer["metadata"]["name"]},
        "subjects": [{"kind": "User", "apiGroup": GROUP, "name": name} for name in maker.users],
    }
    documents = [*roles, writer, *bindings, bound]
    for document in documents:
        plain.create(document)
    policy = Policy.of(documents, rbac_defaults.policy())
    _until_aggregated(plain, policy, roles)
    return policy


def _until_aggregated(plain: Plain, policy: Policy, roles: list[dict[str, Any]]) -> None:
    """The controller has gathered the rules of aggregated roles, and the authorizer has heard of everything."""
    end = time.monotonic() + 20
    for role in (one for one in roles if "aggregationRule" in one):
        name = role["metadata"]["name"]
        wanted = {sorted_rule(rule) for rule in policy.rules_of("", name) or ()}
        while True:
            _, found = plain._requests.call("GET", f"{RULES}/clusterroles/{name}")
            if {sorted_rule(Rule.of(one)) for one in found.get("rules") or ()} == wanted:
                break
            assert time.monotonic() < end, (name, found.get("rules"), wanted)
            time.sleep(0.1)
    time.sleep(0.5)


@pytest.fixture(scope="module")
def spaces(host_kubectl: Any) -> Iterator[tuple[str, str]]:
    names = (f"rbac-{secrets.token_hex(4)}", f"rbac-{secrets.token_hex(4)}")
    for name in names:
        host_kubectl("create", "namespace", name)
    yield names
    host_kubectl("delete", "namespace", *names, "--wait=false")


@pytest.mark.parametrize("seed", [*range(1, SETS), *FOUND, secrets.randbits(32)])
def test_both_answer_alike(plain: Plain, spaces: tuple[str, str], seed: int) -> None:
    maker = Maker(seed, f"m{secrets.token_hex(4)}", spaces)
    policy = stand(plain, maker)
    answers = {True: 0, False: 0}
    for _ in range(QUESTIONS):
        user, asked = maker.user(), maker.question()
        ours = policy.allows(user, asked)
        assert (seed, user, asked, plain.ask(user, asked)) == (seed, user, asked, ours)
        assert policy.decide(user, asked).allowed is ours
        answers[ours] += 1
    assert min(answers.values()) > QUESTIONS // 100  # neither answer alone would show anything
    for name in maker.users:
        user = User(name, tuple(dict.fromkeys((maker.groups[0], "system:authenticated"))))
        for space in spaces:
            assert {sorted_rule(one) for one in policy.rules_for(user, space)} == plain.rules(user, space)
    outcomes = {write(plain, policy, maker, seed) for _ in range(WRITES)}
    assert outcomes & {201, 403}


def write(plain: Plain, policy: Policy, maker: Maker, seed: int) -> int:
    """One attempt to write a role or binding, dry: both let it through, or refuse it with the same words."""
    user = User(maker.one(maker.users), (maker.groups[0], "system:authenticated"))
    name, space = secrets.token_hex(4), maker.one(("", maker.spaces[0]))
    document = maker.role(name, space)
    if maker.one((True, False)):
        roles = [maker.object(kind, f"{name}", "") for kind in ("ClusterRole",) for name in ("r0", "writer", "plain")]
        existing = [one for one in roles if policy.role("", one["metadata"]["name"]) is not None]
        document = maker.binding(name, space, existing)
    code, answer = plain.as_user(user, "POST", f"{collection(document)}?dryRun=All", document)
    words, absent = judged(policy, user, document)
    if absent:
        assert (seed, code, answer["message"]) == (seed, 404, absent)
        return 404
    if words is None:
        assert (seed, code, document) == (seed, 201, document), answer
    else:
        resource = f"{document['kind'].lower()}s.{GROUP}"
        said = f'{resource} "{document["metadata"]["name"]}" is forbidden: {words}'
        assert (seed, code) == (seed, 403)
        assert answer["message"] == said, (seed, set(answer["message"].splitlines()) ^ set(said.splitlines()))
    return code


def judged(policy: Policy, user: User, document: dict[str, Any]) -> tuple[str | None, str]:
    """Why a user may not write an object, and what is not there."""
    try:
        return escalation.refusal(policy, user, document, None, ""), ""
    except ApiError as error:
        return None, error.status.message
