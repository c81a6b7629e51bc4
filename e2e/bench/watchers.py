"""Watches: what a delivered event costs, and how long it is under way from the writer's hand to the watcher."""

from typing import Final

from e2e.bench.measure import Sample, Target, median, sample
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
    rows, verdicts = [], []
    for watchers in PACES:
        found = _interleaved(stage, watchers, min(rounds, ROUNDS if watchers < JUDGED[-1] else 1))
        rows += [Row(f"{watchers} watchers", name, _figures(one)) for name, one in found.items()]
        if watchers in JUDGED:
            cost = found["vcproxy"].cpu
            verdicts.append(Verdict(f"CPU of a delivered event, {watchers} watchers", cost, LIMIT, " us"))
    return Group("watchers", "watchers of ConfigMaps", rows, verdicts, missing(stage))


def _interleaved(stage: Stage, watchers: int, rounds: int) -> dict[str, Sample]:
    found: dict[str, list[Sample]] = {name: [] for name in stage.targets}
    for _ in range(rounds):
        for name, target in stage.targets.items():
            found[name].append(sample(_command(stage, target, watchers), target))
    medians = {name: median(some) for name, some in found.items()}
    tell(f"{watchers} watchers: " + ", ".join(f"{name} {one.cpu:.1f} us/event" for name, one in medians.items()))
    return medians


def _command(stage: Stage, target: Target, watchers: int) -> list[str]:
    direct = stage.targets["direct"]
    hand = " ".join(["-url", direct.url + stage.path(direct, "/configmaps/watched", "watches"), *direct.client])
    events, rate = PACES[watchers]
    path = stage.path(target, "/configmaps", "watches")
    return stage.load("watch", target, path, writer=hand, watchers=watchers, events=events, rate=rate)


def _figures(one: Sample) -> dict[str, float]:
    return {
        "CPU us/event": one.cpu,
        "wake-ups/event": one.wakeups,
        "delay p50 ms": one.p50,
        "delay p99 ms": one.p99,
        "events/s": one.rate,
    }
