"""Helm with a tenant's kubeconfig: each step says what it says before a plain API server, in two tenants at once."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from e2e.clients.helm import APP, Helm
from e2e.cluster.host import Host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.conftest import TenantFactory
from e2e.scan import leaks

SPACE: Final = "cafe"
HERE: Final = ("-n", SPACE)
LASTING: Final = ("--wait", "--timeout=60s")
KINDS: Final = "deployment,service,configmap,secret,serviceaccount,job,role,rolebinding"
OF_ALL: Final = ("configmap/kube-root-ca.crt", "serviceaccount/default")
"""Made by controllers of the host a while after the namespace."""
MERGED: Final = ("upgrade", "shop", APP, *HERE, "--server-side=false", *LASTING)
DATA: Final = "jsonpath={.data}"
STEPS: Final[dict[str, tuple[str, ...]]] = {
    "install": ("helm", "install", "shop", APP, *HERE, "--create-namespace", "--server-side=false", *LASTING),
    "a second install": ("helm", "install", "shop", APP, *HERE),
    "list": ("helm", "list", *HERE),
    "status": ("helm", "status", "shop", *HERE),
    "manifest": ("helm", "get", "manifest", "shop", *HERE),
    "hooks": ("helm", "get", "hooks", "shop", *HERE),
    "values": ("helm", "get", "values", "shop", "--all", *HERE),
    "what every namespace has": ("kubectl", "wait", *OF_ALL, *HERE, "--for=create", "--timeout=60s"),
    "objects": ("kubectl", "get", KINDS, *HERE, "-o", "name"),
    "work by hand": ("kubectl", "patch", "configmap", "shop", *HERE, "-p", '{"data": {"mine": "kept"}}'),
    "upgrade": ("helm", *MERGED, "--set", "greeting=good evening", "--set", "replicas=3"),
    "upgraded data": ("kubectl", "get", "configmap", "shop", *HERE, "-o", DATA),
    "upgrade that is refused": ("helm", *MERGED, "--set", "greeting=never", "--set", "port=70000", "--atomic"),
    "data after the refusal": ("kubectl", "get", "configmap", "shop", *HERE, "-o", DATA),
    "rollback": ("helm", "rollback", "shop", "1", *HERE, *LASTING),
    "rolled back data": ("kubectl", "get", "configmap", "shop", *HERE, "-o", DATA),
    "history": ("helm", "history", "shop", *HERE),
    "server-side install": ("helm", "install", "stand", APP, *HERE, *LASTING),
    "server-side upgrade": ("helm", "upgrade", "stand", APP, *HERE, "--set", "replicas=1", *LASTING),
    "server-side rollback": ("helm", "rollback", "stand", *HERE, *LASTING),
    "both": ("helm", "list", *HERE),
    "template": ("helm", "template", "kiosk", APP, *HERE, "--no-hooks"),
    "template applied": ("kubectl", "apply", "--server-side", *HERE, "-f", "-"),
    "template deleted": ("kubectl", "delete", *HERE, "-f", "-", "--wait"),
    "uninstall": ("helm", "uninstall", "shop", "stand", *HERE, *LASTING),
    "nothing left": ("helm", "list", *HERE),
    "objects left": ("kubectl", "get", KINDS, *HERE, "-o", "name"),
}
"""In this order, each on what the ones before have left."""
FED: Final = {"template applied": "template", "template deleted": "template"}
"""Steps that read what another one has printed."""
REFUSED: Final = {"a second install", "upgrade that is refused"}
CHANGING: Final = {
    re.compile(r"^[EWI]\d{4} .*context canceled.*\n?", re.MULTILINE): "",
    re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?: \+0000 UTC|Z)?"): "TIME",
    re.compile(r"\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}"): "TIME",
    re.compile(r"\b(?:\d+m)?\d+s\b"): "AGE",
    re.compile(r"\b10\.\d+\.\d+\.\d+\b"): "ADDRESS",
    re.compile(r"-[a-z0-9]{8,10}-[a-z0-9]{5}\b"): "-HASH",
    re.compile(r"[ \t]+"): " ",
}
"""What differs from run to run: the log of watches that were ended, times, ages, addresses of services, names of
pods, and the widths of columns."""
RESOURCES: Final = "\n==> "


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said that does not differ from run to run."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class User:
    """Somebody with a kubeconfig and both programs."""

    helm: Helm
    kubectl: Kubectl

    def walk(self) -> dict[str, Said]:
        """All steps; none stops the next ones."""
        done: dict[str, subprocess.CompletedProcess[str]] = {}
        for name, (program, *command) in STEPS.items():
            fed = done[FED[name]].stdout if name in FED else None
            run = self.helm if program == "helm" else self.kubectl
            done[name] = run(*command, input=fed, check=False)
        return {name: said(one) for name, one in done.items()}


def said(done: subprocess.CompletedProcess[str]) -> Said:
    return Said(done.returncode, steady(done.stdout), steady(done.stderr))


def steady(text: str) -> str:
    """Without what differs from run to run. (`helm status` lists kinds in any order.)"""
    for pattern, word in CHANGING.items():
        text = pattern.sub(word, text)
    head, *blocks = text.removesuffix("\n").split(RESOURCES)
    tables, _, notes = "\n\n".join(blocks).partition("TEST SUITE")
    return head + "\n".join(sorted(tables.splitlines())) + notes if blocks else head


def of_tenant(tenant: TenantCluster, program: Path) -> User:
    folder = tenant.kubeconfig.with_suffix(".helm")
    return User(Helm(program, tenant.kubeconfig, folder, tenant.received.append), tenant.kubectl)


@pytest.fixture(scope="module")
def tenants(tenant_factory: TenantFactory) -> tuple[TenantCluster, TenantCluster]:
    return tenant_factory(), tenant_factory()


@pytest.fixture(scope="module")
def users(tenants: tuple[TenantCluster, TenantCluster], helm_program: Path) -> tuple[User, User]:
    """The administrators of two tenants."""
    first, second = (of_tenant(one, helm_program) for one in tenants)
    return first, second


@pytest.fixture(scope="module")
def direct(host: Host, host_kubectl: Kubectl, run_folder: Path, helm_program: Path) -> Iterator[User]:
    """The administrator of the plain API server."""
    yield User(Helm(helm_program, host.kubeconfig, run_folder / "direct"), host_kubectl)
    host_kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def plain(direct: User) -> dict[str, Said]:
    return direct.walk()


@pytest.fixture(scope="module")
def walked(users: tuple[User, User]) -> dict[str, Said]:
    """The steps of one tenant, while the other one has the same releases in the same namespace."""
    users[1].helm("install", "shop", APP, *HERE, "--create-namespace", *LASTING)
    users[1].helm("install", "stand", APP, *HERE, *LASTING)
    return users[0].walk()


@pytest.mark.parametrize("step", STEPS)
def test_each_step_ends_and_says_the_same_as_before_a_plain_api_server(
    plain: dict[str, Said], walked: dict[str, Said], step: str
) -> None:
    assert walked[step] == plain[step]
    assert (walked[step].code != 0) == (step in REFUSED), walked[step].errors


def test_an_upgrade_merges_three_ways_and_a_refused_one_is_undone(walked: dict[str, Said]) -> None:
    kept = '{"index.html":"good evening","mine":"kept"}'
    assert walked["upgraded data"].output == kept
    assert walked["data after the refusal"].output == kept
    assert walked["rolled back data"].output == '{"index.html":"hello","mine":"kept"}'


def test_the_other_tenants_releases_of_the_same_names_are_untouched(
    users: tuple[User, User], walked: dict[str, Said]
) -> None:
    found = users[1].helm.releases("-A")
    assert [(one["name"], one["namespace"], one["revision"], one["status"]) for one in found] == [
        ("shop", SPACE, "1", "deployed"),
        ("stand", SPACE, "1", "deployed"),
    ]
    assert users[0].helm.releases("-A") == []


@pytest.mark.parametrize(("name", "allowed"), [("shop", True), ("other", False)])
def test_the_role_of_a_chart_counts_for_its_service_account(
    users: tuple[User, User], walked: dict[str, Said], name: str, allowed: bool
) -> None:
    account = ("--as", f"system:serviceaccount:{SPACE}:shop")
    found = users[1].kubectl("auth", "can-i", "get", f"configmaps/{name}", *HERE, *account, check=False)
    assert found.stdout.strip() == ("yes" if allowed else "no")


def test_nothing_that_helm_shows_or_keeps_names_the_host(
    tenants: tuple[TenantCluster, TenantCluster], users: tuple[User, User], walked: dict[str, Said]
) -> None:
    users[1].kubectl("get", "secrets", "-A", "-o", "yaml")
    for tenant, other in (tenants, tenants[::-1]):
        assert not leaks(tenant.received, (f"{tenant.id}-", f"tenant:{tenant.id}", other.id, "vcproxy.io/"))
