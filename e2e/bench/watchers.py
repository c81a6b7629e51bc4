"""Watches: what a delivered event costs, and how long it is under way from the writer's hand to the watcher."""

from functools import partial
from typing import Final

import msgspec

from e2e.bench import rivals
from e2e.bench.measure import Sample, Target, median, sample, tried
from e2e.bench.report import Group, Row, Verdict
from e2e.bench.requests import missing
from e2e.bench.stage import Stage, tell

PACES: Final = {1: (100, 50.0), 10: (100, 50.0), 100: (40, 20.0), 1000: (16, 4.0)}
"""Events written and events a second, by number of watchers: each way can follow."""
ROUNDS: Final = 3
LIMIT: Final = 15.0
"""CPU microseconds a delivered event, at most, where many watch."""
JUDGED: Final = (100, 1000)


def measure(stage: Stage, rounds: int) -> Group:
    """Watchers on ConfigMaps of one namespace; the writer goes straight to the API server on every way."""
    stage.made("configmap", "watched", "watches")
    stage = msgspec.structs.replace(stage, targets={**stage.targets, "relay": _relay(stage)})
    rows: list[Row] = []
    verdicts: list[Verdict] = []
    notes = list(missing(stage))
    for watchers in PACES:
        found = _interleaved(stage, watchers, min(rounds, ROUNDS if watchers < JUDGED[-1] else 1), notes)
        rows += [Row(f"{watchers} watchers", name, _figures(one)) for name, one in found.items()]
        if watchers in JUDGED and "vcproxy" in found:
            cost = found["vcproxy"].cpu
            verdicts.append(Verdict(f"CPU of a delivered event, {watchers} watchers", cost, LIMIT, " us"))
            if "relay" in found:
                notes.append(f"{watchers} watchers: {cost / found['relay'].cpu:.2f} times what the bare relay costs")
    return Group("watchers", "watchers of ConfigMaps", rows, verdicts, notes)


def _interleaved(stage: Stage, watchers: int, rounds: int, notes: list[str]) -> dict[str, Sample]:
    """The median of each way; one that failed is noted and not tried again."""
    found: dict[str, list[Sample]] = {}
    targets = dict(stage.targets)
    for name, target in [pair for _ in range(rounds) for pair in stage.targets.items()]:
        if name not in targets:
            continue
        run = partial(sample, command(stage, target, watchers), target)
        one = tried(f"{watchers} watchers, {name}", run, notes)
        if one is None:
            del targets[name]
        else:
            found.setdefault(name, []).append(one)
    medians = {name: median(some) for name, some in found.items()}
    tell(f"{watchers} watchers: " + ", ".join(f"{name} {one.cpu:.1f} us/event" for name, one in medians.items()))
    return medians


def _relay(stage: Stage) -> Target:
    """What is left when nothing is done with an event but telling it."""
    direct = stage.targets["direct"]
    target = stage.path(direct, "/configmaps", "watches") + "?watch=1&timeoutSeconds=3600"
    return rivals.relay(stage.processes, stage.folder, stage.pki, stage.control_plane.url, target)


def command(stage: Stage, target: Target, watchers: int, seconds: float = 0.0) -> list[str]:
    """The load of so many watchers: as many events as PACES says, or as many as fit into some seconds."""
    direct = stage.targets["direct"]
    hand = " ".join(["-url", direct.url + stage.path(direct, "/configmaps/watched", "watches"), *direct.client])
    events, rate = PACES[watchers]
    path = stage.path(target, "/configmaps", "watches")
    count = int(rate * seconds) or events
    return stage.load("watch", target, path, writer=hand, watchers=watchers, events=count, rate=rate)


def _figures(one: Sample) -> dict[str, float]:
    return {
        "CPU us/event": one.cpu,
        "wake-ups/event": one.wakeups,
        "delay p50 ms": one.p50,
        "delay p99 ms": one.p99,
        "events/s": one.rate,
    }
