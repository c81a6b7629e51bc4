"""Informers outlive restarts of the host's API server as they do before a bare host: each change once, in order.

An API server that was started anew has forgotten what it told before. client-go lists again then; so may who stands
before the proxy, but no oftener than client-go does that stands before the host itself at the time. Whoever did not
list again must have heard everything, by the log of the host's store.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from e2e.clients.followers import Access, Follower, Requests
from e2e.clients.informers import GoInformer
from e2e.clients.pythons import PythonFollower
from e2e.clients.writers import LATER, Writer
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.proxy import TenantCluster
from e2e.cluster.store import Change, history
from vcproxy.core.private import TENANTS_GROUP

pytestmark = [
    pytest.mark.own_host,
    pytest.mark.python_client,
    # CPython's wrap_socket leaves a socket unclosed whose peer was gone before the handshake (SSLSocket._create)
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket(?!.*raddr):ResourceWarning"),
]

SPACES: Final = ("default", "kube-public")
BARE: Final = 2
"""Informers before the host itself: whether one has to list again hangs on the last event that it was still told."""
RESTARTS: Final = 2
APART: Final = 4.0
"""Seconds of writing before each restart and after the last."""
SETTLED: Final = 60.0
"""Seconds in which the last change must have reached everybody: client-go waits up to 30 after refused connections."""
ALL: Final = "/api/v1/configmaps"
WORDS: Final = {"ADDED": "add", "MODIFIED": "update", "DELETED": "delete"}
ANEW: Final = "anew"
"""What was known counts no more: a list follows."""
Heard = tuple[str, str, int]
"""(add, update, delete or list; uid; version)."""


class Informer:
    """What some client was told so far, and how often it has listed."""

    def __init__(self, name: str, heard: Callable[[], list[Heard]], lists: Callable[[], int]) -> None:
        self.name, self.heard, self.lists = name, heard, lists

    def has(self, version: int) -> bool:
        return any(one[2] == version for one in self.heard())

    def held(self) -> dict[str, int]:
        """The version of each object that it would show, by uid."""
        found = dict[str, int]()
        for word, uid, version in self.heard():
            if word == ANEW:
                found.clear()
                continue
            found[uid] = version
            if word.startswith("delete"):
                del found[uid]
        return found


def of_go(name: str, kubeconfig: Path, log: Path, spaces: tuple[str, ...], stack: contextlib.ExitStack) -> Informer:
    informer = GoInformer(kubeconfig, ("configmaps",), log)
    informer.process.start()
    stack.callback(informer.process.stop)
    until(lambda: informer.synced, 30)

    def heard() -> list[Heard]:
        found = [one for one in informer.events() if one["namespace"] in spaces]
        return [(one["event"], one["uid"], int(one["resourceVersion"])) for one in found]

    return Informer(name, heard, lambda: len(informer.lists()))


def of_wire(kubeconfig: Path, stack: contextlib.ExitStack) -> Informer:
    follower = Follower(Access(kubeconfig), ALL).start()
    stack.callback(follower.stop)

    def heard() -> list[Heard]:
        held = [("list", uid, version) for uid, version in dict(follower.held).items()]
        listed = [(ANEW, "", 0), *held] if follower.lists > 1 else []
        return [*((WORDS[one.type], one.uid, one.version) for one in list(follower.events)), *listed]

    return Informer("wire", heard, lambda: follower.lists)


def of_python(kubeconfig: Path, log: Path, stack: contextlib.ExitStack) -> Informer:
    follower = PythonFollower(kubeconfig, log)
    follower.process.start()
    stack.callback(follower.process.stop)

    def heard() -> list[Heard]:
        return [
            (WORDS.get(one["event"], "list"), one["uid"], one["version"]) if "event" in one else (ANEW, "", 0)
            for one in follower.lines()
        ]

    def lists() -> int:
        return sum("list" in one for one in follower.lines())

    until(lambda: lists() == 1, 30)
    return Informer("Python client", heard, lists)


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.2)


@pytest.fixture
def informers(control_plane: ControlPlane, tenant: TenantCluster, tmp_path: Path) -> Iterator[list[Informer]]:
    """The first BARE of them stand before the host itself."""
    spaces, admin = tuple(f"{tenant.id}-{space}" for space in SPACES), control_plane.kubeconfig
    with contextlib.ExitStack() as stack:
        yield [
            *(of_go(f"bare {number}", admin, tmp_path / f"bare-{number}", spaces, stack) for number in range(BARE)),
            of_go("client-go", tenant.kubeconfig, tmp_path / "go", SPACES, stack),
            of_wire(tenant.kubeconfig, stack),
            of_python(tenant.kubeconfig, tmp_path / "python", stack),
        ]


def as_on_the_host(control_plane: ControlPlane, tenant: TenantCluster) -> Access:
    """The tenant without the proxy."""
    access = Access(control_plane.kubeconfig)
    access.headers = {"Impersonate-User": f"vcproxy:tenant:{tenant.id}", "Impersonate-Group": TENANTS_GROUP}
    return access


@contextlib.contextmanager
def writing(control_plane: ControlPlane, tenant: TenantCluster) -> Iterator[None]:
    """Changes all the time, through the proxy and past it.

    403: an API server that has just started does not know its roles yet, and says so with the proxy and without it.
    """
    stop = threading.Event()
    hosts = [f"{tenant.id}-{space}" for space in SPACES]
    writers = [
        Writer(as_on_the_host(control_plane, tenant), hosts, "direct", stop, LATER | {403}),
        Writer(Access(tenant.kubeconfig), list(SPACES), "through", stop, LATER | {403}),
    ]
    try:
        yield
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    for writer in writers:
        assert writer.failed is None, writer.failed
        assert writer.done > 100


def marked(access: Access, name: str) -> int:
    """The version of a ConfigMap that is made now."""
    with contextlib.closing(Requests(access)) as requests:
        code, document = requests.call("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})
    assert code == 201, document
    return int(document["metadata"]["resourceVersion"])


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_informers_outlive_the_api_server_as_before_a_bare_host(
    control_plane: ControlPlane, tenant: TenantCluster, informers: list[Informer], way: str
) -> None:
    access = Access(tenant.kubeconfig)
    since = marked(access, "first")
    with writing(control_plane, tenant):
        for _ in range(RESTARTS):
            time.sleep(APART)
            control_plane.kill_api_server() if way == "kill" else control_plane.stop_api_server()
            control_plane.start_api_server()
        time.sleep(APART)
    last = marked(access, "last")
    for informer in informers:
        until(lambda informer=informer: informer.has(last), SETTLED)  # type: ignore[misc]
    log = history(control_plane, f"/registry/configmaps/{tenant.id}-", since, last)
    there = newer(control_plane, tenant, since)
    most = max(one.lists() for one in informers[:BARE])
    assert {one.name: one.lists() for one in informers if one.lists() > most} == {}
    for informer in informers:
        compare(informer, log, since, there)


def newer(control_plane: ControlPlane, tenant: TenantCluster, since: int) -> dict[str, int]:
    """What was made or changed since a version and is there: the versions by uid."""
    paths = [f"/api/v1/namespaces/{tenant.id}-{space}/configmaps" for space in SPACES]
    found = [one["metadata"] for path in paths for one in control_plane.get(path)["items"]]
    return {one["uid"]: int(one["resourceVersion"]) for one in found if int(one["resourceVersion"]) > since}


def compare(informer: Informer, log: list[Change], since: int, there: dict[str, int]) -> None:
    """Everything that the host's store did, in its order; who had to list again has each object's changes in order."""
    heard = [one for one in informer.heard() if one[2] > since]
    if informer.lists() == 1:
        assert [(word, version) for word, _, version in heard] == log, informer.name
    known = {version for _, version in log}
    assert {version for _, _, version in heard} <= known, informer.name
    newest = dict[str, int]()
    for word, uid, version in heard:
        again = word == "list" or "unknown" in word  # what a list tells may have been told before
        assert version > newest.get(uid, 0) or (again and version == newest[uid]), (informer.name, word, uid, version)
        newest[uid] = version
    held = {uid: version for uid, version in informer.held().items() if version > since}
    assert held == there, informer.name
