"""An operator written with controller-runtime: what it does before a plain API server it does in two tenants."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from e2e.clients.operators import LEASE, Place, install_api
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.scan import leaks

SPACE: Final = "pages"
SIDES: Final = ("direct", "first", "second")


@contextlib.contextmanager
def at_work(kubectl: Kubectl, program: Path, log: Path) -> Iterator[Place]:
    """The API and an operator on this machine; stopped at the end."""
    install_api(kubectl)
    kubectl("create", "namespace", SPACE)
    place = Place(kubectl, SPACE)
    try:
        place.run(program, log)
        yield place
    finally:
        place.stop()


@pytest.fixture(scope="module")
def directly(host_kubectl: Kubectl, operator_program: Path, run_folder: Path) -> Iterator[Place]:
    """Before the plain API server, tidied up at the end."""
    with at_work(host_kubectl, operator_program, run_folder / "operator-direct.log") as place:
        yield place
        host_kubectl("delete", "sites", "--all", "-n", SPACE)
    host_kubectl("delete", f"namespace/{SPACE}", "crd/sites.example.com", "--wait=false")


@pytest.fixture(scope="module")
def in_tenants(
    tenant_factory: Callable[..., TenantCluster], operator_program: Path, run_folder: Path
) -> Iterator[tuple[Place, ...]]:
    """Two tenants at once, with the same names in both; what they were shown names nothing of the host."""
    tenants = [tenant_factory() for _ in range(2)]
    with contextlib.ExitStack() as stack:
        logs = [run_folder / f"operator-{tenant.id}.log" for tenant in tenants]
        works = [at_work(one.kubectl, operator_program, log) for one, log in zip(tenants, logs, strict=True)]
        yield tuple(stack.enter_context(work) for work in works)
    received = [*(shown for tenant in tenants for shown in tenant.received), *(log.read_bytes() for log in logs)]
    assert leaks(received, [tenant.id for tenant in tenants]) == []


@pytest.fixture(scope="module", params=SIDES)
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "direct":
        found: Place = request.getfixturevalue("directly")
        return found
    places: tuple[Place, ...] = request.getfixturevalue("in_tenants")
    return places[SIDES.index(request.param) - 1]


def test_a_site_becomes_a_page_and_pods_that_it_owns(place: Place) -> None:
    place.serve("front", content="welcome")
    owner = {"kind": "Site", "name": "front", "uid": place.get("site", "front")["metadata"]["uid"], "controller": True}
    for kind, name in (("configmap", "front-page"), ("deployment", "front")):
        (reference,) = place.get(kind, name)["metadata"]["ownerReferences"]
        assert reference == {**owner, "apiVersion": "example.com/v1", "blockOwnerDeletion": True}
    assert place.page("front") == "welcome"
    assert place.get("deployment", "front")["status"]["availableReplicas"] == 2


def test_its_status_tells_what_is_there_and_scaling_goes_through_its_own_subresource(place: Place) -> None:
    place.serve("scaled", content="x", replicas=1)
    place.kubectl("scale", "site/scaled", "-n", SPACE, "--replicas=3")
    place.wait("three pods", lambda: place.get("site", "scaled")["status"]["replicas"] == 3 and place.served("scaled"))
    assert place.condition(place.get("site", "scaled"))["message"] == "3 of 3 pods serve the page"


def test_a_change_of_either_side_is_brought_into_line(place: Place) -> None:
    place.serve("changed", content="one", replicas=0)
    place.apply("changed", content="two", replicas=0)
    place.wait("the page says two", lambda: place.page("changed") == "two")
    place.kubectl("delete", "configmap", "changed-page", "-n", SPACE)
    place.wait("the page is back", lambda: place.page("changed") == "two")
    place.kubectl("scale", "deployment/changed", "-n", SPACE, "--replicas=2")
    place.wait("no pods again", lambda: place.get("deployment", "changed")["spec"]["replicas"] == 0)


def test_what_it_did_stands_in_events_of_the_site(place: Place) -> None:
    place.serve("told", content="x", replicas=0)
    about = "involvedObject.kind=Site,involvedObject.name=told,reason=PageWritten"
    place.wait("an event", lambda: bool(place.get("events", f"--field-selector={about}")["items"]))
    (event,) = place.get("events", f"--field-selector={about}")["items"]
    assert event["involvedObject"]["namespace"] == SPACE
    assert event["reportingComponent"] == "site-operator"
    assert event["message"] == "the page was created"


def test_a_deleted_site_is_seen_off_by_the_operator_and_what_it_owned_goes_with_it(place: Place) -> None:
    place.serve("short", content="x", replicas=1)
    uid = place.get("site", "short")["metadata"]["uid"]
    place.kubectl("delete", "site", "short", "-n", SPACE, "--wait", "--timeout=30s")
    assert place.get("configmap", "sites-gone")["data"]["short"] == uid
    place.wait("all is gone", lambda: not place.there("configmap,deployment,pods", "-l", "example.com/site=short"))
    place.wait("its page is gone", lambda: not place.there("configmap", "short-page"))


def test_the_api_checks_fills_in_and_prints_as_its_definition_says(place: Place) -> None:
    with pytest.raises(AssertionError, match="this page is not served"):
        place.apply("refused", content="forbidden")
    with pytest.raises(AssertionError, match="should be less than or equal to 5"):
        place.apply("refused", content="x", replicas=6)
    place.apply("printed", version="v1alpha1", content="x")
    assert place.get("sites.v1.example.com", "printed")["spec"] == {"content": "x", "replicas": 2}
    head, *rows = place.kubectl("get", "st", "-n", SPACE).stdout.splitlines()
    assert head.split() == ["NAME", "REPLICAS", "READY", "AGE"]
    assert "printed" in [row.split()[0] for row in rows]
    assert "What the page says." in place.kubectl("explain", "site.spec.content").stdout


def test_one_operator_leads_and_another_one_takes_over(place: Place, operator_program: Path, tmp_path: Path) -> None:
    place.serve("led", content="one", replicas=0)
    first = place.get("lease", LEASE)["spec"]["holderIdentity"]
    place.stop()
    assert place.get("lease", LEASE)["spec"]["holderIdentity"] == ""
    place.run(operator_program, tmp_path / "second.log")
    place.serve("led", content="two", replicas=0)
    assert place.get("lease", LEASE)["spec"]["holderIdentity"] not in ("", first)
