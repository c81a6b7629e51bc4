"""What roles and bindings allow; e2e/test_rbac_equal.py asks a real API server the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.core.rbac_documents import ANN, DEV, GROUP, MASTER, USER, bind, pods, policy, role, rule
from vcproxy.core.rbac import Attributes, User
from vcproxy.core.rbac_policy import Policy


def test_a_role_binding_counts_in_its_namespace_only() -> None:
    found = policy(role("r", rule("get", "pods")), bind("r", DEV, space="web"))
    assert found.allows(ANN, pods("get"))
    assert not found.allows(ANN, pods("get", "other"))
    assert not found.allows(ANN, pods("get", ""))


def test_a_role_of_the_namespace_is_not_a_cluster_role_of_that_name() -> None:
    found = policy(role("r", rule("get", "pods"), space="web"), bind("r", USER, space="web"))
    assert not found.allows(ANN, pods("get"))
    assert found.put(bind("r", USER, space="web", kind="Role")).allows(ANN, pods("get"))


def test_urls_count_by_cluster_role_bindings_only() -> None:
    found = policy(role("r", rule("get", urls="/metrics")), bind("r", USER, space="web"))
    assert not found.allows(ANN, Attributes("get", path="/metrics"))


def test_a_service_account_is_a_user_of_its_namespace() -> None:
    account = {"kind": "ServiceAccount", "name": "robot"}
    found = policy(role("r", rule("get", "pods")), bind("r", account, space="web"))
    assert found.allows(User("system:serviceaccount:web:robot"), pods("get"))
    assert not found.allows(User("system:serviceaccount:other:robot"), pods("get"))
    assert not policy(role("r", rule("get", "pods")), bind("r", account)).allows(
        User("system:serviceaccount::robot"), pods("get")
    )


def test_a_binding_to_nothing_allows_nothing() -> None:
    assert not policy(bind("nobody", USER)).allows(ANN, pods("get"))


def test_masters_may_everything() -> None:
    assert policy().allows(MASTER, pods("delete"))
    assert policy().allows(MASTER, Attributes("get", path="/x"))


def test_every_cluster_lets_all_users_discover_and_ask_about_themselves() -> None:
    asked = Attributes("create", "authorization.k8s.io", "selfsubjectaccessreviews")
    assert policy().allows(ANN, asked)
    assert policy().allows(ANN, Attributes("get", path="/apis/apps"))
    assert not policy().allows(User("nobody"), asked)


def test_a_change_makes_another_policy_and_leaves_the_old_one() -> None:
    before = policy(role("r", rule("get", "pods")))
    after = before.put(bind("r", USER))
    assert (before.allows(ANN, pods("get")), after.allows(ANN, pods("get"))) == (False, True)
    assert not after.remove("ClusterRoleBinding", "", "b-r").allows(ANN, pods("get"))
    assert not after.put(role("r", rule("list", "pods"))).allows(ANN, pods("get"))


def test_roles_are_aggregated_by_labels_those_that_are_aggregated_too() -> None:
    chosen: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]}}
    exists = {"matchExpressions": [{"key": "in", "operator": "Exists"}]}
    inner: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [exists]}}
    found = policy(
        role("all", rule("delete", "pods"), **chosen),
        role("inner", labels={"to": "all"}, **inner),
        role("leaf", rule("get", "pods"), labels={"in": ""}),
        bind("all", USER),
    )
    assert found.allows(ANN, pods("get"))
    assert not found.allows(ANN, pods("delete"))


def test_two_roles_that_aggregate_each_other_end() -> None:
    chosen: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}}
    found = policy(role("a", labels={"x": "y"}, **chosen), role("b", labels={"x": "y"}, **chosen), bind("a", USER))
    assert not found.allows(ANN, pods("get"))


def test_a_role_of_the_tenant_adds_to_those_of_every_cluster() -> None:
    own = role("own", rule("get", "widgets", "acme.io"), labels={f"{GROUP}/aggregate-to-view": "true"})
    found = policy(own, bind("view", USER, space="web"))
    assert found.allows(ANN, Attributes("get", "acme.io", "widgets", "", "web"))
    assert found.allows(ANN, pods("get"))
    assert not found.allows(ANN, Attributes("get", "", "secrets", "", "web"))


def test_the_reason_names_the_binding() -> None:
    found = policy(role("r", rule("get", "pods")), bind("r", DEV, space="web"))
    reason = 'RBAC: allowed by RoleBinding "b-r/web" of ClusterRole "r" to Group "dev"'
    assert found.decide(ANN, pods("get")).reason == reason


def test_whoever_a_binding_lets_do_something_is_found_with_the_binding() -> None:
    found = policy(
        role("reader", rule("get", "pods")),
        bind("reader", USER, DEV, space="web"),
        role("own", rule("get", "pods", names="a"), space="web"),
        bind("own", {"kind": "ServiceAccount", "name": "bot"}, space="web", kind="Role"),
        bind("absent", USER),
    )
    holders = [one for one in found.holders(pods("get")) if not one.name.startswith("system:serviceaccount:kube-")]
    through = [(one.kind, one.name, one.binding) for one in holders if not one.name.startswith("system:kube-")]
    everywhere = [("Group", "system:masters", "cluster-admin"), ("Group", "tenant:admin", "vcproxy:tenant-admin")]
    assert through == [("Group", "dev", "b-reader"), *everywhere, ("User", "ann", "b-reader")]
    named = [one.name for one in found.holders(pods("get", name="a"))]
    assert "system:serviceaccount:web:bot" in named
    assert {"ann", "dev"}.isdisjoint(one.name for one in found.holders(pods("get", "db")))


def test_rules_of_several_layers_count_all() -> None:
    lowest = policy(role("reader", rule("get", "pods")), bind("reader", USER))
    assert Policy(Policy(lowest)).allows(ANN, pods("get"))
    assert not Policy(Policy(lowest)).based_on(Policy()).allows(ANN, pods("get"))


SUBJECTS = st.lists(st.sampled_from([USER, DEV, {"kind": "User", "name": "bob", "apiGroup": GROUP}]), max_size=2)
STEPS = st.tuples(st.sampled_from("abc"), st.sampled_from(["", "web"]), st.none() | SUBJECTS)


@given(st.lists(STEPS, max_size=12))
def test_a_policy_that_was_changed_step_by_step_is_that_of_its_last_objects(steps: list[Any]) -> None:
    changed, last = policy(role("reader", rule("get", "pods"))), dict[tuple[str, str], dict[str, Any]]()
    for name, space, subjects in steps:
        before = changed.holders(pods("get"))
        kind, binding = "RoleBinding" if space else "ClusterRoleBinding", bind("reader", *subjects or (), space=space)
        binding["metadata"]["name"] = name
        last.pop((space, name), None)
        if subjects is None:
            made = changed.remove(kind, space, name)
        else:
            made, last[space, name] = changed.put(binding), binding
        assert changed.holders(pods("get")) == before
        changed = made
        whole = policy(role("reader", rule("get", "pods")), *last.values())
        for user in (ANN, User("bob")):
            for asked in (pods("get"), pods("get", "db")):
                assert changed.decide(user, asked) == whole.decide(user, asked)


def test_rights_of_roles_that_all_aggregate_each_other_are_found() -> None:
    """Nine took two minutes."""
    chosen: dict[str, Any] = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}}
    roles = [role(f"r{n}", labels={"x": "y"}, **chosen) for n in range(50)]
    found = policy(*roles, role("leaf", rule("get", "pods"), labels={"x": "y"}), bind("r7", USER))
    assert found.allows(ANN, pods("get"))
    assert len(found.gathered()["r9"]) == 1


PLACES = st.sampled_from(["", "web", "db"])
CHANGES = st.tuples(st.sampled_from(["role", "binding"]), PLACES, st.none() | st.sampled_from(["get", "list"]))


@given(st.lists(CHANGES, max_size=12))
def test_what_is_kept_ready_is_never_old(changes: list[Any]) -> None:
    """Asked after each change: what was kept of the policy before counts only where nothing has changed."""
    changed, last = Policy(), dict[tuple[str, str], dict[str, Any]]()
    for what, space, verb in changes:
        made = role("r", rule(verb or "", "pods"), space=space) if what == "role" else bind("r", USER, space=space)
        if what == "binding" and verb == "list" and space:
            made["roleRef"]["kind"] = "Role"
        last.pop((what, space), None)
        if verb is None:
            changed = changed.remove(made["kind"], space, made["metadata"]["name"])
        else:
            last[what, space] = made
            changed = changed.put(made)
        whole = Policy.of(last.values())
        for asked in (pods("get"), pods("list"), pods("get", "db"), pods("list", "")):
            assert changed.allows(ANN, asked) is whole.allows(ANN, asked)
