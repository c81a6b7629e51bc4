"""The operator as people run it: installed by Helm, in a pod of a real node, with its ServiceAccount's rights alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from e2e.clients.helm import OPERATOR, Helm
from e2e.clients.operators import LEASE, Place
from e2e.cluster.host import Host
from e2e.cluster.images import write_image
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import RunningProxy, TenantCluster
from e2e.scan import leaks

pytestmark = [pytest.mark.real_nodes, pytest.mark.own_host]

SPACE: Final = "pages"
HERE: Final = ("-n", SPACE)
IMAGE: Final = "registry.vcproxy.io/e2e/operator:1"
LASTING: Final = ("--wait", "--timeout=80s")
ASKED: Final = (("list", "sites.example.com"), ("create", "deployments.apps"), ("list", "secrets"), ("delete", "nodes"))
SIDES: Final = ("direct", "first", "second")


@pytest.fixture(scope="module")
def image(real_host: Host, operator_program: Path, run_folder: Path) -> None:
    """The operator's image, on the node."""
    assert real_host.control_plane is not None
    archive = run_folder / "operator.tar"
    write_image(archive, IMAGE, operator_program)
    real_host.control_plane.import_images(archive)


class Installed(Place):
    """The release `sites` of the operator's chart, in a namespace that Helm made."""

    def __init__(self, kubectl: Kubectl, helm: Helm) -> None:
        super().__init__(kubectl, SPACE)
        self.helm = helm

    def install(self) -> None:
        self.helm("install", "sites", OPERATOR, *HERE, "--create-namespace", *LASTING)

    def upgrade(self, content: str) -> None:
        """The chart's own Site, `front`, with this content; an empty one removes it."""
        self.helm("upgrade", "sites", OPERATOR, *HERE, "--set", f"site={content}", *LASTING)

    def answer(self) -> str:
        """What the pods of `front` serve."""
        command = ("busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/")
        return self.kubectl("exec", *HERE, "deployment/front", "--", *command).stdout


@pytest.fixture(scope="module")
def directly(real_host: Host, image: None, helm_program: Path, run_folder: Path) -> Iterator[Installed]:
    """On the plain cluster, tidied up at the end."""
    kubectl = Kubectl(real_host.kubectl, real_host.kubeconfig)
    place = Installed(kubectl, Helm(helm_program, real_host.kubeconfig, run_folder / "direct"))
    place.install()
    yield place
    kubectl("delete", f"namespace/{SPACE}", "crd/sites.example.com", "--wait=false")


@pytest.fixture(scope="module")
def in_tenants(
    real_tenant_factory: Callable[..., TenantCluster], image: None, helm_program: Path, run_folder: Path
) -> Iterator[tuple[Installed, ...]]:
    """The same release in two tenants at once; what they were shown names nothing of the host."""
    tenants = [real_tenant_factory() for _ in range(2)]
    places = []
    for tenant in tenants:
        helm = Helm(helm_program, tenant.kubeconfig, run_folder / tenant.id, tenant.received.append)
        places.append(Installed(tenant.kubectl, helm))
        places[-1].install()
    yield tuple(places)
    received = [shown for tenant in tenants for shown in tenant.received]
    assert leaks(received, [tenant.id for tenant in tenants]) == []


@pytest.fixture(scope="module", params=SIDES)
def place(request: pytest.FixtureRequest) -> Installed:
    if request.param == "direct":
        found: Installed = request.getfixturevalue("directly")
        return found
    places: tuple[Installed, ...] = request.getfixturevalue("in_tenants")
    return places[SIDES.index(request.param) - 1]


def test_it_runs_in_a_pod_and_reconciles_what_a_second_step_brings(place: Installed) -> None:
    place.upgrade("welcome")
    place.wait("front is served", lambda: place.there("site", "front") and place.served("front"))
    assert place.answer() == "welcome"
    (pod,) = place.get("pods", "-l", "app=sites")["items"]
    assert place.get("lease", LEASE)["spec"]["holderIdentity"].startswith(f"{pod['metadata']['name']}_")


def test_its_log_speaks_of_the_namespace_that_its_user_knows(place: Installed) -> None:
    assert f'"namespace":"{SPACE}"' in place.kubectl("logs", *HERE, "deployment/sites").stdout


def test_it_may_do_what_its_role_says_and_no_more(place: Installed) -> None:
    someone = ("--as", f"system:serviceaccount:{SPACE}:sites", "-A")
    asked = [place.kubectl("auth", "can-i", verb, what, *someone, check=False).stdout.strip() for verb, what in ASKED]
    assert asked == ["yes", "yes", "no", "no"]


def test_it_works_on_after_a_restart_of_the_proxy(place: Installed, real_proxy: RunningProxy) -> None:
    real_proxy.stop_serving()
    real_proxy.start_serving()
    place.upgrade("again")
    place.wait("front is served anew", lambda: place.served("front") and place.page("front") == "again")


def test_uninstalled_after_its_sites_it_leaves_nothing_but_its_api(place: Installed) -> None:
    place.upgrade("")
    place.helm("uninstall", "sites", *HERE, *LASTING)
    place.wait("all pods are gone", lambda: not place.there("deployments,pods"))
    assert place.helm.releases("-n", SPACE) == []
    assert place.there("crd", "sites.example.com")
