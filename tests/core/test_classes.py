"""Which class counts for what the host's controllers make in a tenant's namespaces."""

import pytest

from vcproxy.core import classes
from vcproxy.core.classes import Classes
from vcproxy.core.names import TenantId
from vcproxy.core.view import ClassLists, Defaults

ACME = TenantId("acme")
LENT = ClassLists(storage=frozenset({"standard", "gold"}), priority=frozenset({"normal"}))
HOST = Defaults(storage="standard", priority="normal")
OWN = Classes(LENT, Defaults(storage="acme-fast", priority="acme-usual"), HOST)
NONE = Classes(host=HOST)


@pytest.mark.parametrize(
    ("known", "given", "counts"),
    [
        (OWN, None, "acme-fast"),
        (OWN, "standard", "acme-fast"),
        (OWN, "gold", "gold"),
        (OWN, "acme-slow", "acme-slow"),
        (OWN, "acme.none", "acme.none"),
        (Classes(LENT, HOST, HOST), "standard", "standard"),
        (Classes(LENT, Defaults(), HOST), "standard", "standard"),
        (NONE, None, "acme.none"),
        (NONE, "standard", "acme.none"),
        (NONE, "acme-slow", "acme-slow"),
    ],
)
def test_a_claim_has_the_class_that_the_tenant_named_or_its_default(known: Classes, given: str, counts: str) -> None:
    spec = {"storageClassName": given} if given else {}
    assert classes.claim({"metadata": {}, "spec": spec}, ACME, known)["spec"]["storageClassName"] == counts


def test_a_claim_that_names_its_class_in_the_old_way_stays() -> None:
    old = {"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "acme-old"}}, "spec": {}}
    assert classes.claim(old, ACME, OWN) == old


@pytest.mark.parametrize("given", [None, "normal", "elsewhere"])
def test_a_pod_without_a_class_gets_the_default_and_its_number_is_computed_anew(given: str | None) -> None:
    named = {"priorityClassName": given} if given else {}
    found = {"spec": {**named, "priority": 0, "preemptionPolicy": "Never", "containers": []}}
    assert classes.pod(found, ACME, OWN) == {"spec": {"priorityClassName": "acme-usual", "containers": []}}


@pytest.mark.parametrize("given", ["acme-high", "acme-usual"])
def test_a_pod_with_a_class_of_the_tenant_keeps_it(given: str) -> None:
    found = {"spec": {"priorityClassName": given, "priority": 5}}
    assert classes.pod(found, ACME, OWN) == found


def test_without_a_default_of_the_tenant_the_hosts_counts_for_pods() -> None:
    found = {"spec": {"priorityClassName": "normal", "priority": 5}}
    assert classes.pod(found, ACME, NONE) == found


def test_a_claim_that_names_a_class_of_others_in_the_old_way_gets_one_that_nobody_has() -> None:
    key = "volume.beta.kubernetes.io/storage-class"
    found = {"metadata": {"annotations": {key: "globex-fast", "a": "1"}}, "spec": {}}
    assert classes.claim(found, ACME, OWN)["metadata"]["annotations"] == {key: "acme.none", "a": "1"}
    found["metadata"]["annotations"][key] = "gold"
    assert classes.claim(found, ACME, OWN) == found
