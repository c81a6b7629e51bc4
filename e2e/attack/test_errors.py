"""Case 20: every error is one Status in the tenant's words; where the proxy decided, the host heard nothing."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from e2e.attack.cases import case
from e2e.attack.conftest import VAULT, Attacker, Victim, Witness, is_status
from e2e.chaos.faults import asleep, dead
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import Host
from e2e.cluster.proxy import RunningProxy

pytestmark = pytest.mark.own_host

SPACES = "/api/v1/namespaces"
MAPS = f"{SPACES}/default/configmaps"
MANY = 16


@case(20)
@pytest.mark.parametrize(
    ("code", "method", "target", "body", "headers"),
    [
        (400, "GET", "/api/v1//pods", None, {}),
        (401, "GET", MAPS, None, {"Authorization": "Bearer x"}),
        (403, "DELETE", f"{SPACES}/kube-system", None, {}),
        (404, "GET", "/apis/nope.example/v1/things", None, {}),
        (405, "PUT", MAPS, {}, {}),
        (406, "GET", MAPS, None, {"Accept": "image/png"}),
        (413, "POST", MAPS, b"x" * (3 * 2**20 + 1), {}),
        (415, "POST", MAPS, b"{}", {"Content-Type": "text/plain"}),
        (422, "POST", SPACES, {"metadata": {"name": "a" * 62}}, {}),
    ],
)
def test_a_refusal_of_the_proxy_is_one_status_and_no_request(
    attacker: Attacker, arrived: Witness, code: int, method: str, target: str, body: Any, headers: dict[str, str]
) -> None:
    is_status(attacker.call(method, target, body, headers=headers), code)
    assert arrived() == []


@case(20)
def test_a_refusal_of_the_host_comes_in_the_tenants_words(attacker: Attacker, victim: Victim) -> None:
    """What the answers may not hold is looked for after each test."""
    attacker.call("POST", MAPS, {"metadata": {"name": "here"}})
    is_status(attacker.call("GET", f"{MAPS}/absent"), 404)
    is_status(attacker.call("POST", MAPS, {"metadata": {"name": "here"}}), 409)
    is_status(attacker.call("POST", MAPS, {"metadata": {"name": "No_Name"}}), 422)
    is_status(attacker.call("PUT", f"{MAPS}/here", {"metadata": {"name": "here", "resourceVersion": "1"}}), 409)
    is_status(attacker.call("POST", SPACES, {"metadata": {"name": "default"}}), 409)
    pod = {"metadata": {"name": "p"}, "spec": {"serviceAccountName": "absent", "containers": [{"name": "a"}]}}
    is_status(attacker.call("POST", f"{SPACES}/default/pods", pod), 403, 422)


@case(20)
def test_what_is_not_there_and_what_is_anothers_are_answered_alike(attacker: Attacker, victim: Victim) -> None:
    shapes = set()
    for space in (f"{victim.id}-{VAULT}", "vcproxy-system", "absent-namespace", "vcproxy"):
        answer = attacker.call("GET", f"{SPACES}/{space}/configmaps/x")
        shapes.add((answer.code, answer.document["reason"], answer.document["message"]))
    assert len(shapes) == 1


@pytest.fixture(scope="module")
def narrow(host: Host, run_folder: Path, proxy: RunningProxy) -> Iterator[RunningProxy]:
    """A replica with little room and little patience. (`proxy` installs first.)"""
    del proxy
    limits = {"watches": 1, "hostTimeout": "2s", "drain": "2s"}
    running = RunningProxy(host, run_folder / "narrow", {"limits": limits})
    running.start()
    yield running
    running.stop_serving()


@pytest.fixture
def squeezed(attacker: Attacker, narrow: RunningProxy) -> Attacker:
    """The attacker at that replica."""
    attacker.port = narrow.port
    narrow.wait_known(attacker.tenant, attacker.token)
    return attacker


@case(20)
def test_who_has_no_room_left_is_told_when_to_come_again(squeezed: Attacker, arrived: Witness) -> None:
    with contextlib.closing(squeezed.events(f"{MAPS}?watch=1&timeoutSeconds=60")) as events:
        assert next(events)["type"] == "ADDED"
        before = len(arrived())
        refused = squeezed.call("GET", f"{MAPS}?watch=1")
        is_status(refused, 429)
        assert int(refused.headers["Retry-After"]) >= 1
        assert len(arrived()) == before


@case(20)
def test_of_a_host_that_is_away_nothing_is_told_but_that(squeezed: Attacker, control_plane: ControlPlane) -> None:
    """What the answers may not hold is looked for after each test; an address of the host is no word for tenants."""
    targets = (MAPS, "/api/v1/configmaps", f"{MAPS}?watch=1&fieldSelector=metadata.name%3Dx", f"{SPACES}/default")
    with dead(control_plane):
        away = [squeezed.call("GET", target) for target in targets]
        away.append(squeezed.call("POST", MAPS, {"metadata": {"name": "away"}}))
    for answer in away:
        is_status(answer, 502)
        assert control_plane.url.rpartition(":")[2].encode() not in answer.body


@case(20)
def test_a_host_that_takes_no_connection_is_503_and_one_that_does_not_answer_504(
    squeezed: Attacker, control_plane: ControlPlane
) -> None:
    """More at a time than there are kept connections: the others need new ones. (504 alone: e2e/test_faults.py.)"""
    with asleep(control_plane), ThreadPoolExecutor(MANY) as pool:
        slow = list(pool.map(lambda _: squeezed.call("GET", MAPS), range(MANY)))
    for answer in slow:
        is_status(answer, 503, 504)
    assert 503 in {answer.code for answer in slow}
