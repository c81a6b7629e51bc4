"""What end-to-end tests stand on: for a whole run one host, one proxy before it, and tenants with random ids."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from e2e.clients import oidc, pythons
from e2e.cluster import preflight
from e2e.cluster.build import HELM, INSIDER, OPERATOR, REAL_NODES, binaries
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import BuiltHost, Host, choose_host, start_host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.processes import signals_as_interrupts, undisturbed
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id

OWN_HOST: Final = "own_host"
REAL: Final = "real_nodes"
OIDC: Final = "oidc"
PYTHON_CLIENT: Final = "python_client"
NOT_RUN: Final = pytest.StashKey[dict[str, list[str]]]()
"""By the reason why: tests that this machine or this host cannot run."""
FOLDER: Final = pytest.StashKey[Path]()

CLIENTS: Final = {"helm_program": HELM, "operator_program": OPERATOR, "insider_program": INSIDER}
"""Fixtures whose programs are built before the tests that ask for them."""

TenantFactory = Callable[..., TenantCluster]
"""`tenant_factory(*options)`: a new tenant, ready for use; options go to `vcproxy tenant create`."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{OWN_HOST}: needs a host whose API server and audit log are in our hands")
    config.addinivalue_line("markers", f"{REAL}: needs nodes that really run pods")
    config.addinivalue_line("markers", "case(*numbers): the cases of attack that a test makes (e2e/attack/cases.py)")
    config.addinivalue_line("markers", f"{OIDC}: needs an OIDC provider, which node runs")
    config.addinivalue_line("markers", f"{PYTHON_CLIENT}: needs the packages of the Python client of Kubernetes")
    config.stash[NOT_RUN] = {}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Binaries are built before the clock of the first test runs, and in sight."""
    if not session.config.option.collectonly:
        with _in_sight(session.config):
            binaries()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What cannot run here is taken out with its reason, and counted at the end: never silently."""
    own = isinstance(choose_host(Path()), BuiltHost)
    if not own:
        _leave_out(config, items, OWN_HOST, "the host's API server and audit log are not in our hands")
    elif any(item.get_closest_marker(REAL) for item in items):
        if reason := preflight.failure():
            _leave_out(config, items, REAL, f"real nodes: {reason}")
        elif not config.option.collectonly:
            with _in_sight(config):
                binaries(REAL_NODES)
    failures: dict[str, Callable[[], str]] = {OIDC: oidc.failure, PYTHON_CLIENT: pythons.failure}
    for marker, failure in failures.items():
        if not config.option.collectonly and any(item.get_closest_marker(marker) for item in items):
            with _in_sight(config):
                reason = failure()
            if reason:
                _leave_out(config, items, marker, reason)
    if not config.option.collectonly:
        _build_clients(config, items)


def _build_clients(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The programs that these tests run, before the clock of the first one."""
    asked = {name for item in items if isinstance(item, pytest.Function) for name in item.fixturenames}
    for fixture, wanted in CLIENTS.items():
        if fixture in asked:
            with _in_sight(config):
                binaries(wanted)


def _leave_out(config: pytest.Config, items: list[pytest.Item], marker: str, reason: str) -> None:
    left = [item for item in items if item.get_closest_marker(marker)]
    items[:] = [item for item in items if item not in left]
    if left:
        config.hook.pytest_deselected(items=left)
        config.stash[NOT_RUN][reason] = [item.nodeid for item in left]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Nothing is left out silently; where something failed, where the logs are."""
    for reason, names in config.stash[NOT_RUN].items():
        terminalreporter.section(not_run(names, reason))
        for name, count in Counter(name.split("[")[0] for name in names).items():
            terminalreporter.line(f"{name} ({count})" if count > 1 else name)
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.line(f"logs of the host and the proxy: {config.stash.get(FOLDER, Path())}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run of nothing but tests that cannot run here is no failure: their count says it."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.stash[NOT_RUN]:
        session.exitstatus = pytest.ExitCode.OK


def not_run(names: Sequence[str], reason: str) -> str:
    """The words that `make` repeats in its summary."""
    return f"{len(names)} not run: {reason}"


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Where this run keeps everything."""
    pytestconfig.stash[FOLDER] = tmp_path_factory.mktemp("run")
    return pytestconfig.stash[FOLDER]


@pytest.fixture(scope="session")
def host(run_folder: Path, pytestconfig: pytest.Config) -> Iterator[Host]:
    """The cluster behind the proxy: given, kind, or built; stopped at the end if it is ours."""
    with signals_as_interrupts():
        with _in_sight(pytestconfig):
            started = start_host(run_folder / "host")
        try:
            yield started
        finally:
            with undisturbed():
                started.stop()


@pytest.fixture(scope="session")
def real_host(request: pytest.FixtureRequest, run_folder: Path, pytestconfig: pytest.Config) -> Iterator[Host]:
    """A cluster whose node runs pods, for tests marked `real_nodes`. The host itself, where it is not built here."""
    if not isinstance(choose_host(Path()), BuiltHost):
        yield request.getfixturevalue("host")
        return
    with signals_as_interrupts():
        started = BuiltHost(run_folder / "real-host", real_nodes=1)
        try:
            with _in_sight(pytestconfig):
                started.start()
            yield started
        finally:
            with undisturbed():
                started.stop()


@pytest.fixture(scope="session")
def real_proxy(real_host: Host, run_folder: Path) -> Iterator[RunningProxy]:
    """vcproxy before the host with real nodes."""
    running = RunningProxy(real_host, run_folder / "real-proxy")
    running.start()
    try:
        yield running
    finally:
        with undisturbed():
            running.stop()


@pytest.fixture(scope="session")
def control_plane(host: Host) -> ControlPlane:
    """Audit log and API server of the host; only in tests marked `own_host`."""
    if host.control_plane is None:
        raise AssertionError(f"{host.description} is not in our hands: mark the test with @pytest.mark.{OWN_HOST}")
    return host.control_plane


@pytest.fixture(scope="session")
def host_kubectl(host: Host) -> Kubectl:
    """kubectl as the host's administrator."""
    return Kubectl(host.kubectl, host.kubeconfig)


@pytest.fixture(scope="session")
def proxy(host: Host, run_folder: Path) -> Iterator[RunningProxy]:
    """vcproxy, installed on the host and serving."""
    running = RunningProxy(host, run_folder / "proxy")
    running.start()
    try:
        yield running
    finally:
        with undisturbed():
            running.stop()


@pytest.fixture(scope="session")
def tenant_factory(proxy: RunningProxy, run_folder: Path) -> Iterator[TenantFactory]:
    """Makes tenants; on a host that stays they are removed at the end."""
    with _tenants(proxy, run_folder) as make:
        yield make


@pytest.fixture(scope="session")
def real_tenant_factory(real_proxy: RunningProxy, run_folder: Path) -> Iterator[TenantFactory]:
    """The same where nodes are real."""
    with _tenants(real_proxy, run_folder) as make:
        yield make


@contextlib.contextmanager
def _tenants(proxy: RunningProxy, folder: Path) -> Iterator[TenantFactory]:
    made: list[TenantCluster] = []

    def make(*options: str) -> TenantCluster:
        tenant = TenantCluster(proxy, random_id(), folder)
        made.append(tenant)
        return tenant.create(*options)

    yield make
    if not proxy.host.own:
        for options in ((), ("--wait",)):  # they end side by side
            for tenant in made:
                proxy.cli("tenant", "delete", tenant.id, *options, check=False)


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """Helm, from a pinned module."""
    return binaries(HELM) / "helm"


@pytest.fixture(scope="session")
def operator_program() -> Path:
    """The operator of e2e/clients/operator: static, for this machine and for images."""
    return binaries(OPERATOR) / "operator"


@pytest.fixture(scope="session")
def insider_program() -> Path:
    """The in-cluster client of e2e/clients/insider."""
    return binaries(INSIDER) / "insider"


@pytest.fixture
def tenant(tenant_factory: TenantFactory) -> TenantCluster:
    """A tenant of this test alone."""
    return tenant_factory()


class _in_sight:  # noqa: N801 - used as a statement
    """What is printed inside reaches the terminal although pytest captures output."""

    def __init__(self, config: pytest.Config) -> None:
        manager = config.pluginmanager.getplugin("capturemanager")
        self._disabled = manager.global_and_fixture_disabled()

    def __enter__(self) -> None:
        self._disabled.__enter__()

    def __exit__(self, *error: object) -> None:
        self._disabled.__exit__(*error)
