"""The proxy is killed at any point of a write: who asks again learns the truth, and nothing is made twice."""

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e.clients.followers import Access, Follower, Requests
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy, TenantCluster, random_id
from e2e.witness import AuditLog

pytestmark = [
    pytest.mark.own_host,
    # CPython's wrap_socket leaves a socket unclosed whose peer was gone before the handshake (SSLSocket._create)
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket(?!.*raddr):ResourceWarning"),
]

KILLS: Final = 30
LONGEST: Final = 0.25
"""Seconds from the first answer after a start to the next kill, at most: some tens of writes."""
LOST: Final = 0
"""The code of an attempt that got no answer."""
MAPS: Final = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def mortal(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A proxy that is killed again and again. (`proxy` installs first and is left alone.)"""
    del proxy
    running = RunningProxy(host, run_folder / "mortal", {"limits": {"drain": "2s"}})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture
def tenant(mortal: RunningProxy, run_folder: Path) -> TenantCluster:
    return TenantCluster(mortal, random_id(), run_folder).create("--timeout", "60")


class Creator:
    """Creates one ConfigMap after the other; where an answer is lost it looks first, and then creates again.

    `attempts` has the codes of each name's creates, in order, `looks` what was found after a lost one.
    """

    def __init__(self, access: Access) -> None:
        self.attempts: dict[str, list[int]] = {}
        self.looks: dict[str, list[int]] = {}
        self.answered = threading.Event()
        self.failed: BaseException | None = None
        self._requests = Requests(access)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._create(f"write-{len(self.attempts)}")
        except BaseException as error:
            self.failed = error
        finally:
            self._requests.close()

    def _create(self, name: str) -> None:
        attempts = self.attempts[name] = []
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        while True:
            attempts.append(self._ask("POST", MAPS, body))
            if attempts[-1] in (201, 409):
                self.answered.set()
                return
            self._look(name)

    def _look(self, name: str) -> None:
        end = time.monotonic() + 30
        while (code := self._ask("GET", f"{MAPS}/{name}", None)) not in (200, 404):
            assert time.monotonic() < end, code
            time.sleep(0.02)
        self.looks.setdefault(name, []).append(code)

    def _ask(self, method: str, target: str, body: Any) -> int:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            return self._requests.call(method, target, body)[0]
        return LOST


def creates_on_host(log: AuditLog, at: int, namespace: str) -> dict[int, Counter[str]]:
    """By code: how many creates of each name the host has answered since the mark `at`."""
    time.sleep(1)  # the host may still be at work for a proxy that is gone
    found: dict[int, Counter[str]] = {}
    for entry in log.entries(at):
        what = entry.get("objectRef", {})
        mine = what.get("namespace") == namespace and what.get("resource") == "configmaps"
        if mine and entry["verb"] == "create" and entry["stage"] == "ResponseComplete":
            found.setdefault(entry["responseStatus"]["code"], Counter())[what.get("name", "")] += 1
    return found


def test_a_write_that_lost_its_answer_was_done_once_or_not_at_all(
    mortal: RunningProxy, tenant: TenantCluster, control_plane: ControlPlane
) -> None:
    log = AuditLog(control_plane)
    at = log.mark()
    namespace = f"{tenant.id}-default"
    store = Follower(Access(control_plane.kubeconfig), f"/api/v1/namespaces/{namespace}/configmaps").start()
    creator = Creator(Access(tenant.kubeconfig))
    chance = random.Random(4)
    for _ in range(KILLS):
        creator.answered.clear()
        assert creator.answered.wait(30), creator.failed
        time.sleep(chance.uniform(0, LONGEST))
        mortal.kill_serving()
        mortal.start_serving()
    creator.stop()
    assert creator.failed is None, creator.failed
    there = {
        one["metadata"]["name"]: one for one in control_plane.get(f"/api/v1/namespaces/{namespace}/configmaps")["items"]
    }
    lost = [name for name, attempts in creator.attempts.items() if LOST in attempts]
    assert lost, "no kill has met a write: nothing was tried"
    assert set(creator.attempts) <= set(there), "what was answered 201, or 409 in the end, is there"
    made = {there[name]["metadata"]["uid"] for name in creator.attempts}
    assert store.has_seen(made), "the host's own watch lags"
    store.stop()
    told(creator)
    asked_for(creator, creates_on_host(log, at, namespace))
    assert not store.problems
    versions = Counter(one.uid for one in store.events)
    assert all(versions[uid] == 1 for uid in made)


def told(creator: Creator) -> None:
    """What the client heard fits together: nobody else makes these names, so a 409 is about its own lost attempt."""
    for name, attempts in creator.attempts.items():
        assert set(attempts) <= {LOST, 201, 409, 502, 503, 504}, (name, attempts)
        assert attempts[-1] == 201 or LOST in attempts[:-1], (name, attempts)
        looks = creator.looks.get(name, [])
        assert sorted(looks, reverse=True) == looks, f"{name} was there and then not: {looks}"
        assert 200 not in looks or attempts[-1] == 409, (name, attempts, looks)


def asked_for(creator: Creator, done: dict[int, Counter[str]]) -> None:
    """The host was asked no more often than the client has asked, and has done it once.

    It calls a write 504 whose asker went away before the end, and then it has mostly been done.
    """
    for name, attempts in creator.attempts.items():
        assert done[201][name] == 1 or (LOST in attempts and done[201][name] == 0), (name, attempts)
        assert sum(codes[name] for codes in done.values()) <= len(attempts), (name, attempts)
