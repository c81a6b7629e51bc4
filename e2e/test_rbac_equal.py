"""Generated roles and bindings, and thousands of questions: vcproxy's evaluator and the API server answer alike.

The objects stand on the host itself for a while, under names that nobody else has; vcproxy is not in between.
"""

import contextlib
import http.client
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import pytest

from e2e.clients.followers import Access
from e2e.cluster.host import Host
from e2e.rbac_sets import GRANTING, GROUP, Asked, Maker, Object, Small
from vcproxy.core import escalation, rbac_defaults
from vcproxy.core.rbac import Attributes, Rule, User
from vcproxy.core.rbac_policy import Policy
from vcproxy.core.status import ApiError

pytestmark = pytest.mark.timeout(300)
RULES: Final = f"/apis/{GROUP}/v1"
REVIEWS: Final = "/apis/authorization.k8s.io/v1"
SETS: Final = 2000
"""Small sets of objects that stand on the host at one time, each for users of its own."""
QUESTIONS: Final = 8
"""Questions about each of them."""
WRITES: Final = 2
"""Roles and bindings that its users try to write."""
FOUND: Final = (2940186524,)
"""Larger sets of which one once gave another answer here than there, with 400 questions and 60 writes each."""
THREADS: Final = 8
PATIENCE: Final = 60.0
LABEL: Final = "rbac-equal"
T = TypeVar("T")


class Plain:
    """The API server itself, as an administrator; all threads may use it. Everything it makes bears `mark`."""

    def __init__(self, host: Host, spaces: tuple[str, str], mark: str) -> None:
        self.spaces, self.mark = spaces, mark
        self._access = Access(host.kubeconfig)
        self._lines = threading.local()
        self._opened: list[http.client.HTTPSConnection] = []
        self._pool = ThreadPoolExecutor(THREADS)

    def each(self, work: Callable[[T], Any], items: Iterable[T]) -> list[Any]:
        """Done beside each other; raises what one of them raises."""
        return list(self._pool.map(work, items))

    def call(self, method: str, path: str, body: Any = None, user: User | None = None) -> tuple[int, Any]:
        """Code and document; as somebody else, to whom the server adds system:authenticated itself."""
        line: http.client.HTTPSConnection | None = getattr(self._lines, "line", None)
        if line is None:
            line = self._lines.line = self._access.connect(PATIENCE)
            self._opened.append(line)
        raw = b"" if body is None else json.dumps(body).encode()
        line.putrequest(method, path)
        acting = [("Impersonate-User", user.name), *(("Impersonate-Group", one) for one in user.groups)] if user else []
        fixed = {**self._access.headers, "Content-Type": "application/json", "Content-Length": str(len(raw))}
        for key, value in (*acting, *fixed.items()):
            line.putheader(key, value)
        line.endheaders(raw)
        with line.getresponse() as response:
            return response.status, json.loads(response.read())

    def create(self, document: Object) -> None:
        metadata = document["metadata"]
        body = {**document, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), LABEL: self.mark}}}
        code, answer = self.call("POST", collection(document), body)
        assert code == 201, answer

    def ask(self, user: User, asked: Attributes) -> bool:
        spec: Object = {"user": user.name, "groups": list(user.groups)}
        if asked.resource:
            keys = ("verb", "group", "resource", "subresource", "namespace", "name")
            spec["resourceAttributes"] = {key: getattr(asked, key) for key in keys}
        else:
            spec["nonResourceAttributes"] = {"verb": asked.verb, "path": asked.path}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        code, answer = self.call("POST", f"{REVIEWS}/subjectaccessreviews", body)
        assert code == 201, answer
        return bool(answer["status"]["allowed"])

    def rules(self, user: User, space: str) -> set[Rule]:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": space}}
        code, answer = self.call("POST", f"{REVIEWS}/selfsubjectrulesreviews", body, user)
        assert code == 201, answer
        found = answer["status"]
        return {sorted_rule(Rule.of(one)) for one in [*found["resourceRules"], *found["nonResourceRules"]]}

    def stand(self, documents: list[Object], gathered: dict[str, set[Rule]]) -> None:
        """Objects, once the controller has gathered what is given and the authorizer has heard of everything."""
        self.each(self.create, documents)
        self._until_gathered(gathered)
        self._fence()

    def _until_gathered(self, wanted: dict[str, set[Rule]]) -> None:
        end = time.monotonic() + PATIENCE
        while wanted:
            _, listed = self.call("GET", f"{RULES}/clusterroles?labelSelector={LABEL}={self.mark}")
            found = {
                one["metadata"]["name"]: {sorted_rule(Rule.of(rule)) for rule in one.get("rules") or ()}
                for one in listed["items"]
            }
            different = {name: (found[name], rules) for name, rules in wanted.items() if found[name] != rules}
            if not different:
                return
            assert time.monotonic() < end, different
            time.sleep(0.2)

    def _fence(self) -> None:
        """Each kind's events come in order: who counts the last one of each has heard of all before."""
        name, rule = f"{self.mark}-{secrets.token_hex(4)}", {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
        end = time.monotonic() + PATIENCE
        for kind, space in (("ClusterRole", ""), ("Role", self.spaces[0])):
            metadata = {"name": name} | ({"namespace": space} if space else {})
            self.create({"kind": kind, "metadata": metadata, "rules": [rule]})
            reference = {"apiGroup": GROUP, "kind": kind, "name": name}
            user = f"{name}{space}"
            subjects = [{"apiGroup": GROUP, "kind": "User", "name": user}]
            self.create({"kind": f"{kind}Binding", "metadata": metadata, "roleRef": reference, "subjects": subjects})
            while not self.ask(User(user), Attributes("get", "", "pods", "", space)):
                assert time.monotonic() < end, "the authorizer did not hear of it"
                time.sleep(0.02)

    def close(self) -> None:
        places = [f"namespaces/{space}/{kind}" for space in self.spaces for kind in ("rolebindings", "roles")]
        with contextlib.suppress(OSError):
            for path in ("clusterrolebindings", "clusterroles", *places):
                self.call("DELETE", f"{RULES}/{path}?labelSelector={LABEL}={self.mark}")
        self._pool.shutdown()
        for line in self._opened:
            line.close()


def collection(document: Object) -> str:
    space = document["metadata"].get("namespace", "")
    return f"{RULES}/{f'namespaces/{space}/' if space else ''}{document['kind'].lower()}s"


def sorted_rule(rule: Rule) -> Rule:
    values = ((*rule.verbs,), (*rule.groups,), (*rule.resources,), (*rule.names,), (*rule.urls,))
    return Rule(*(tuple(sorted(value)) for value in values))


@pytest.fixture(scope="module")
def spaces(host_kubectl: Any) -> Iterator[tuple[str, str]]:
    names = (f"rbac-{secrets.token_hex(4)}", f"rbac-{secrets.token_hex(4)}")
    for name in names:
        host_kubectl("create", "namespace", name)
    yield names
    host_kubectl("delete", "namespace", *names, "--wait=false")


@pytest.fixture
def plain(host: Host, spaces: tuple[str, str]) -> Iterator[Plain]:
    found = Plain(host, spaces, f"p{secrets.token_hex(4)}")
    yield found
    found.close()


def granted(maker: Maker, name: str, subjects: list[Object], *verbs: str) -> list[Object]:
    """A ClusterRole to write roles and bindings, and its binding."""
    writer = maker.object("ClusterRole", name, "") | {
        "rules": [{"verbs": list(verbs), "apiGroups": [GROUP], "resources": ["*"]}]
    }
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": writer["metadata"]["name"]}
    return [writer, maker.object("ClusterRoleBinding", name, "") | {"roleRef": reference, "subjects": subjects}]


def gathered(policy: Policy, documents: list[Object]) -> dict[str, set[Rule]]:
    """What the aggregated roles among some objects are to have in the end."""
    names = [one["metadata"]["name"] for one in documents if "aggregationRule" in one]
    return {name: {sorted_rule(rule) for rule in policy.rules_of("", name) or ()} for name in names}


# Many small sets -----------------------------------------------------------------------------------------------------


class Set:
    """One small set: its objects, and the policy that they are."""

    def __init__(self, maker: Small, common: list[Object]) -> None:
        self.maker, self.own = maker, [*maker.roles, *maker.bindings]
        self.documents = [*common, *self.own]
        self.policy = Policy.of(self.documents, rbac_defaults.policy())
        self.questions = [Asked(maker.mark, self.documents, maker.user(), maker.question()) for _ in range(QUESTIONS)]
        self.writes = [(maker.writer(), *maker.written()) for _ in range(WRITES)]


@pytest.fixture(scope="module")
def seed() -> int:
    return secrets.randbits(32)


@pytest.fixture(scope="module")
def sets(host: Host, spaces: tuple[str, str], seed: int) -> Iterator[tuple[Plain, list[Set]]]:
    """All sets, as they stand on the host."""
    print(f"seed {seed}")
    mark = f"p{secrets.token_hex(4)}"
    plain, writers = Plain(host, spaces, mark), f"{mark}-writers"
    common = granted(
        Maker(0, mark, spaces), "writers", [{"apiGroup": GROUP, "kind": "Group", "name": writers}], "create", "update"
    )
    made = [Set(Small(seed + at, f"{mark}-{at:05}", spaces, writers), common) for at in range(SETS)]
    wanted = [gathered(one.policy, one.own) for one in made]
    documents = [*common, *(document for one in made for document in one.own)]
    plain.stand(documents, {name: rules for found in wanted for name, rules in found.items()})
    yield plain, made
    plain.close()


def test_thousands_of_sets_are_judged_alike(sets: tuple[Plain, list[Set]], seed: int) -> None:
    plain, made = sets
    asked = [one for found in made for one in found.questions]
    ours = [found.policy.allows(one.user, one.asked) for found in made for one in found.questions]
    theirs = plain.each(lambda one: plain.ask(one.user, one.asked), asked)
    different = [one for one, here, there in zip(asked, ours, theirs, strict=True) if here is not there]
    assert not different, f"seed {seed}, {len(different)} answers differ; the smallest:\n{smallest(plain, different)}"
    assert min(Counter(ours).values()) > len(ours) // 20  # neither answer alone would show anything
    for verb in GRANTING:
        answers = Counter(here for one, here in zip(asked, ours, strict=True) if one.asked.verb == verb)
        assert min(answers[True], answers[False]) > SETS // 50, (verb, answers)


def smallest(plain: Plain, different: list[Asked]) -> Asked:
    """One of those whose answers differ, made smaller as long as they still do, each time under new names."""
    found = min(different, key=lambda one: len(str(one)))
    while True:
        less = next((one for one in found.smaller() if differs(plain, one)), None)
        if less is None:
            return found
        found = less


def differs(plain: Plain, one: Asked) -> bool:
    again = one.renamed(f"{plain.mark}-s{secrets.token_hex(4)}")
    own = [document for document in again.documents if again.mark in document["metadata"]["name"]]
    plain.stand(own, gathered(again.policy(), own))
    return plain.ask(again.user, again.asked) is not again.answer()


def test_hundreds_of_users_are_told_the_same_rules(sets: tuple[Plain, list[Set]], seed: int) -> None:
    plain, made = sets

    def compare(found: Set) -> None:
        user = User(found.maker.users[0], (found.maker.groups[0], "system:authenticated"))
        for space in plain.spaces:
            ours = {sorted_rule(one) for one in found.policy.rules_for(user, space)}
            assert (seed, found.own, user, plain.rules(user, space)) == (seed, found.own, user, ours)

    plain.each(compare, made[::4])


def test_thousands_of_writes_are_judged_with_the_same_words(sets: tuple[Plain, list[Set]], seed: int) -> None:
    plain, made = sets
    writes = [(found.policy, *write) for found in made for write in found.writes]
    outcomes = Counter(plain.each(lambda write: judge(plain, seed, *write), writes))
    assert min(outcomes[201], outcomes[403], outcomes[200]) > SETS // 50, outcomes


def judge(plain: Plain, seed: int, policy: Policy, user: User, name: str, document: Object, old: Object | None) -> int:
    """One attempt to write a role or binding, dry: both let it through, or refuse it with the same words."""
    path = f"{collection(document)}{f'/{name}' if name else ''}?dryRun=All"
    code, answer = plain.call("PUT" if name else "POST", path, document, user)
    words, absent = judged(policy, user, document, old, name)
    shown = seed, user, name, document, answer
    if absent:
        assert (code, answer["message"]) == (404, absent), shown
    elif words is None:
        assert code == (200 if old is not None else 201), shown
    else:
        resource = f"{document['kind'].lower()}s.{GROUP}"
        said = f'{resource} "{document["metadata"]["name"]}" is forbidden: {words}'
        assert code == 403, shown
        assert answer["message"] == said, (seed, set(answer["message"].splitlines()) ^ set(said.splitlines()))
    return code


def judged(policy: Policy, user: User, document: Object, old: Object | None, name: str) -> tuple[str | None, str]:
    """Why a user may not write an object, and what is not there."""
    try:
        return escalation.refusal(policy, user, document, old, name), ""
    except ApiError as error:
        return None, error.status.message


# Larger sets that were found -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", FOUND)
def test_sets_that_once_differed_are_judged_alike(plain: Plain, seed: int) -> None:
    """Generated as when they were found: what is drawn, and in which order, stays."""
    maker = Maker(seed, f"m{secrets.token_hex(4)}", plain.spaces)
    roles = [maker.role(f"r{index}", maker.one(("", *plain.spaces))) for index in range(8)]
    roles.append(maker.object("ClusterRole", "plain", "") | {"rules": [maker.rule(cluster=True)]})
    bindings = [maker.binding(f"b{index}", maker.one(("", *plain.spaces)), roles) for index in range(7)]
    users = [{"apiGroup": GROUP, "kind": "User", "name": name} for name in maker.users]
    documents = [*roles, *bindings, *granted(maker, "writer", users, "create")]
    policy = Policy.of(documents, rbac_defaults.policy())
    plain.stand(documents, gathered(policy, roles))
    for _ in range(400):
        user, asked = maker.user(), maker.question()
        assert (user, asked, plain.ask(user, asked)) == (user, asked, policy.allows(user, asked))
        assert policy.decide(user, asked).allowed is policy.allows(user, asked)
    for _ in range(60):
        write(plain, policy, maker, seed)


def write(plain: Plain, policy: Policy, maker: Maker, seed: int) -> int:
    user = User(maker.one(maker.users), (maker.groups[0], "system:authenticated"))
    name, space = secrets.token_hex(4), maker.one(("", maker.spaces[0]))
    document = maker.role(name, space)
    if maker.one((True, False)):
        roles = [maker.object("ClusterRole", name, "") for name in ("r0", "writer", "plain")]
        existing = [one for one in roles if policy.role("", one["metadata"]["name"]) is not None]
        document = maker.binding(name, space, existing)
    return judge(plain, seed, policy, user, "", document, None)
