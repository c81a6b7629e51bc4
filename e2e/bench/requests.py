"""Requests: CPU, rate and latency of each way, interleaved."""

from collections.abc import Sequence
from typing import Final

import msgspec

from e2e.bench.measure import Sample, Target, median, sample
from e2e.bench.report import Group, Row, Verdict
from e2e.bench.stage import NOT_INSTALLED, SMALL, Stage, tell

ROUNDS: Final = 5
WARM_UP: Final = 0.5
"""Seconds of the round that is not counted."""
MANY: Final = 64
FEW: Final = 8


class Work(msgspec.Struct, frozen=True):
    """What is asked for, by how many connections, for how many seconds in a round and requests at most."""

    name: str
    label: str
    rest: str
    connections: int = MANY
    seconds: float = 1.5
    most: int = 20000
    create: bool = False
    pods: int = 0
    """So many pods must be in the namespace; none: `default`, as it is."""

    @property
    def namespace(self) -> str:
        return f"pods-{self.pods}" if self.pods else "default"


WORKS: Final = (
    Work("get-configmap", "get a ConfigMap", SMALL),
    Work("get-pod", "get a Pod", "/pods/{pod}", pods=100),
    Work("list-100-pods", "list 100 Pods", "/pods", FEW, 2.0, pods=100),
    Work("list-500-pods", "list 500 Pods", "/pods", FEW, 2.5, pods=500),
    Work("create-delete", "create and delete a ConfigMap", "/configmaps", FEW, create=True),
)
LIMITS: Final = {"get-configmap": 0.8, "get-pod": 0.8, "list-100-pods": 2.5}
"""CPU over that of the Go proxy, at most."""
LATENCY: Final = Work("latency", "get a ConfigMap, one connection", SMALL, 1, 1.0)
ADDED: Final = 0.3
"""Milliseconds at p50 over the direct way, at most."""


def work_command(stage: Stage, work: Work, target: Target, seconds: float, mark: str) -> list[str]:
    """The load of a work; `mark` makes the names of what is created differ."""
    rest = work.rest.format(pod=stage.filled(work.pods) if work.pods else "")
    flags = {"connections": work.connections, "requests": work.most, "seconds": seconds}
    path = stage.path(target, rest, work.namespace)
    return stage.load("requests", target, path, name=f"bench-{mark}", create=work.create, **flags)


def interleaved(stage: Stage, work: Work, rounds: int) -> dict[str, Sample]:
    """The median of the rounds of each target; every round begins with another one."""
    found: dict[str, list[Sample]] = {name: [] for name in stage.targets}
    targets = list(stage.targets.values())
    for number in range(rounds + 1):
        shift = number % len(targets)
        for target in targets[shift:] + targets[:shift]:
            mark = f"{target.name}-{number}"
            one = sample(work_command(stage, work, target, work.seconds if number else WARM_UP, mark), target)
            if number:
                found[target.name].append(one)
    tell(f"{work.label}: " + ", ".join(f"{name} {median(some).cpu:.0f} us" for name, some in found.items()))
    return {name: median(some) for name, some in found.items()}


def measure(stage: Stage, work: Work, rounds: int = ROUNDS) -> Group:
    samples = interleaved(stage, work, rounds)
    verdicts = []
    if work.name in LIMITS:
        share = samples["vcproxy"].cpu / samples["go"].cpu
        verdicts.append(Verdict(f"CPU of {work.label} over Go's", share, LIMITS[work.name]))
    return Group(work.name, f"{work.label}, {_connections(work)}", _rows(work, samples), verdicts, missing(stage))


def latency(stage: Stage, rounds: int = ROUNDS) -> Group:
    samples = interleaved(stage, LATENCY, rounds)
    added = samples["vcproxy"].p50 - samples["direct"].p50
    verdict = Verdict("p50 added to the direct way at one connection", added, ADDED, " ms")
    return Group("latency", LATENCY.label, _rows(LATENCY, samples), [verdict], missing(stage))


def _rows(work: Work, samples: dict[str, Sample]) -> Sequence[Row]:
    return [
        Row(
            work.label,
            name,
            {
                "CPU us/request": one.cpu,
                "over Go's": one.cpu / samples["go"].cpu,
                "wake-ups/request": one.wakeups,
                "requests/s": one.rate,
                "p50 ms": one.p50,
                "p99 ms": one.p99,
            },
        )
        for name, one in samples.items()
    ]


def missing(stage: Stage) -> Sequence[str]:
    return () if "nginx" in stage.targets else (f"nginx: {NOT_INSTALLED}",)


def _connections(work: Work) -> str:
    return f"{work.connections} connections"
