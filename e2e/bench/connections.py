"""Connections: how many new ones a second, and what an idle one and an idle watch keep in memory."""

import time
from functools import partial
from typing import Final

from e2e.bench import rivals
from e2e.bench.measure import Sample, Target, loading, median, memory_kib, sample, tried
from e2e.bench.report import Group, Row, Verdict
from e2e.bench.requests import missing
from e2e.bench.stage import SMALL, Stage, own_target, tell

SECONDS: Final = 1.5
ROUNDS: Final = 3
MANY: Final = 2000
WARM: Final = 20
"""Connections before the first look, so that what is loaded once is not counted."""
SETTLED: Final = 1.0
LIMIT: Final = 48.0
"""KiB of an idle watch over TLS, at most."""


def new_connections(stage: Stage, rounds: int) -> Group:
    """Full TLS handshakes, one get over each; four at a time."""
    found: dict[str, list[Sample]] = {name: [] for name in stage.targets}
    for _ in range(min(rounds, ROUNDS)):
        for name, target in stage.targets.items():
            command = stage.load("connect", target, stage.path(target, SMALL), seconds=SECONDS)
            found[name].append(sample(command, target))
    rows = [Row("new connection and a get", name, _figures(median(some))) for name, some in found.items()]
    return Group("new-connections", "new TLS connections, 4 at a time, a get over each", rows, (), missing(stage))


def _figures(one: Sample) -> dict[str, float]:
    return {"connections/s": one.rate, "CPU us/connection": one.cpu, "p50 ms": one.p50, "p99 ms": one.p99}


def idle(stage: Stage, rounds: int) -> Group:
    """Resident memory of each by the difference of none and many; every look is at a fresh process."""
    rows: list[Row] = []
    verdicts: list[Verdict] = []
    notes = list(missing(stage))
    for what, watching in (("idle watch", True), ("idle connection", False)):
        for name in [name for name in stage.targets if name != "direct"]:
            size = tried(f"{what}, {name}", partial(_look, stage, name, what, watching), notes)
            if size is None:
                continue
            tell(f"{what}, {name}: {size:.1f} KiB")
            rows.append(Row(what, name, {"KiB each": size}))
            if watching and name == "vcproxy":
                verdicts.append(Verdict("memory of an idle watch", size, LIMIT, " KiB"))
    return Group("idle", f"memory of {MANY} idle connections and watches", rows, verdicts, notes)


def _look(stage: Stage, name: str, what: str, watching: bool) -> float:
    return _held(stage, _fresh(stage, name, what), watching)


def _fresh(stage: Stage, name: str, what: str) -> Target:
    """A newly started one: memory that was freed before would be taken again unseen."""
    if name == "vcproxy":
        stage.proxy.stop_serving()
        stage.proxy.start_serving()
        stage.proxy.wait_known(stage.tenant.id, stage.tenant.token)
        stage.targets[name] = own_target(stage, stage.proxy)
        return stage.targets[name]
    folder, host = stage.folder / what.replace(" ", "-"), stage.control_plane.url
    if name == "go":
        return rivals.go_proxy(stage.processes, stage.tools, folder, stage.pki, host)
    found = rivals.nginx(stage.processes, folder, stage.pki, host)
    assert found is not None
    return found


def _held(stage: Stage, target: Target, watching: bool) -> float:
    """KiB for each of many connections."""
    path = stage.path(target, "/configmaps" if watching else SMALL)
    with loading(stage.load("idle", target, path, connections=WARM, watch=watching)) as load:
        load.begin()
        load.result()
    time.sleep(SETTLED)
    before = memory_kib(target.pid)
    with loading(stage.load("idle", target, path, connections=MANY, watch=watching)) as load:
        time.sleep(SETTLED)
        after = memory_kib(target.pid)
        load.begin()
        load.result()
    return (after - before) / MANY
