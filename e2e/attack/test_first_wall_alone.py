"""The second wall taken away: no policies, and a tenant's identity may do everything. Rewriting alone holds.

The cases between tenants are made once more. That the controller does not put the walls back meanwhile is because its
own role says another version: what it takes for somebody else's installation it leaves alone.
"""

import inspect
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from e2e.attack import test_bodies, test_identity, test_media, test_paths, test_strangers, test_subresources
from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Victim
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster

pytestmark = pytest.mark.own_host

BINDING: Final = "vcproxy-attack-everything"
FORGOTTEN: Final = 15.0
"""Seconds in which the host must have forgotten a policy that was deleted."""
GATE: Final = ("clusterrole", "vcproxy:controller")
ATTACKS: Final[tuple[Callable[..., None], ...]] = (
    test_identity.test_an_administrator_acts_as_others_in_its_own_cluster_at_most,
    test_paths.test_no_path_climbs_into_the_victims_namespaces,
    test_paths.test_a_kind_at_the_wrong_scope_is_not_there,
    test_paths.test_no_selector_leads_out_of_the_tenant,
    test_paths.test_a_selector_on_the_victims_namespace_selects_nothing,
    test_paths.test_every_spelling_of_a_watch_shows_only_the_tenants_objects,
    test_paths.test_proxies_of_services_and_pods_lead_to_the_tenants_own_only,
    test_subresources.test_every_subresource_stays_in_the_tenants_namespaces,
    test_bodies.test_a_body_that_names_another_place_is_refused,
    test_bodies.test_a_foreign_uid_is_a_conflict_and_changes_nothing,
    test_bodies.test_an_owner_in_another_tenant_owns_nothing,
    test_media.test_a_list_shows_the_same_in_every_media_type,
    test_strangers.test_a_continue_token_of_another_tenant_is_none,
    test_strangers.test_a_continue_token_of_the_hosts_own_form_is_none,
    test_strangers.test_a_version_of_another_tenant_shows_only_what_is_ones_own,
    test_strangers.test_a_review_about_strangers_tells_nothing,
    test_strangers.test_a_list_over_all_namespaces_holds_nothing_foreign,
    test_strangers.test_what_the_host_keeps_in_kube_system_is_not_there,
)


def made(attack: Callable[..., None]) -> Iterator[Any]:
    """The attack with each set of its parameters."""
    marks = [mark for mark in getattr(attack, "pytestmark", ()) if mark.name == "parametrize"]
    sets = [[_named(mark.args[0], value) for value in mark.args[1]] for mark in marks]
    for number, chosen in enumerate(itertools.product(*sets)):
        values = {name: value for one in chosen for name, value in one.items()}
        yield pytest.param(attack, values, id=f"{attack.__name__}-{number}")


def _named(names: Any, value: Any) -> dict[str, Any]:
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    return {keys[0]: value} if len(keys) == 1 else dict(zip(keys, value, strict=True))


@pytest.fixture(scope="module")
def bare(host_kubectl: Kubectl, proxy: RunningProxy, attacker_cluster: TenantCluster, victim: Victim) -> Iterator[None]:
    """The host without the second wall."""
    host_kubectl("annotate", *GATE, "vcproxy.io/version=0.0.0-attack", "--overwrite")
    for name in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        host_kubectl("delete", name, "vcproxy-tenants")
    host_kubectl("create", "clusterrolebinding", BINDING, "--clusterrole=cluster-admin", "--group=vcproxy:tenants")
    yield
    host_kubectl("delete", "clusterrolebinding", BINDING)
    proxy.cli("install")


@case(28)
def test_the_second_wall_is_really_gone(
    bare: None, host_kubectl: Kubectl, attacker_cluster: TenantCluster, victim: Victim
) -> None:
    """So that what holds below is rewriting."""
    identity = (f"--as=vcproxy:tenant:{attacker_cluster.id}", "--as-group=vcproxy:tenants")
    found = host_kubectl("get", "secret", "treasure", "-n", f"{victim.id}-{VAULT}", "-o", "json", *identity)
    assert json.loads(found.stdout)["metadata"]["name"] == "treasure"
    touch = ("label", "configmap", "plans", "-n", f"{victim.id}-{VAULT}", *identity)
    end = time.monotonic() + FORGOTTEN
    while host_kubectl(*touch, "touched=yes", check=False).returncode and time.monotonic() < end:
        time.sleep(0.2)
    host_kubectl(*touch, "touched-")


@case(2, 4, 7, 9, 10, 11, 12, 17, 18, 19, 28, 35, 38, 39)
@pytest.mark.parametrize(("attack", "values"), [one for attack in ATTACKS for one in made(attack)])
def test_rewriting_alone_holds(
    bare: None, request: pytest.FixtureRequest, attack: Callable[..., None], values: dict[str, Any]
) -> None:
    wanted = [name for name in inspect.signature(attack).parameters if name not in values]
    attack(**values, **{name: request.getfixturevalue(name) for name in wanted})
