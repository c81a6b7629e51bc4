"""`make bench-ratio`: CPU of a get through vcproxy over that of Go's plain ReverseProxy; the last line is one number.

Both stand before the same API server with TLS on both sides and the same connections; rounds are interleaved, and each
says what it found. Beside the CPU stand wake-ups: on one machine a busy peer hides what they cost.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from e2e.bench.measure import Sample, Target, machine, sample, system_calls
from e2e.bench.stage import SMALL, Stage, replayed, staged, tell
from e2e.cluster.processes import signals_as_interrupts

CONNECTIONS: Final = 64
ROUNDS: Final = 5
SECONDS: Final = 2.0
MOST: Final = 20000
"""Requests of one sample, at most."""
LEAD: Final = f"{'round':>11}  {'CPU us/request':^18}  {'wake-ups/request':^18}  {'requests/s':^18}"
HEAD: Final = f"{'':>11}  " + "  ".join(f"{'go':>8}  {'vcproxy':>8}" for _ in range(3)) + "     ratio"


def command(stage: Stage, target: Target, seconds: float) -> list[str]:
    path = stage.path(target, SMALL)
    return stage.load("requests", target, path, connections=CONNECTIONS, requests=MOST, seconds=seconds)


def rounds(stage: Stage, count: int, seconds: float) -> float:
    """Rounds of both, each first in turn; every one is printed. The median of their ratios."""
    print(LEAD, HEAD, sep="\n", flush=True)
    found = []
    for number in range(count + 1):
        names = ("go", "vcproxy") if number % 2 else ("vcproxy", "go")
        length = seconds if number else 1.0
        samples = {name: sample(command(stage, stage.targets[name], length), stage.targets[name]) for name in names}
        print(line(f"{number}" if number else "not counted", samples), flush=True)
        if number:
            found.append(ratio(samples))
    return statistics.median(found)


def ratio(samples: dict[str, Sample]) -> float:
    return samples["vcproxy"].cpu / samples["go"].cpu


def line(name: str, samples: dict[str, Sample]) -> str:
    """A round, both beside each other."""
    both = [samples["go"], samples["vcproxy"]]
    figures = [
        *(f"{one.cpu:8.1f}" for one in both),
        *(f"{one.wakeups:8.2f}" for one in both),
        *(f"{one.rate:8.0f}" for one in both),
    ]
    return f"{name:>11}  " + "  ".join(figures) + f"  {ratio(samples):8.3f}"


def calls(stage: Stage) -> str:
    """Waits and writes a request of both, as the kernel counts them, in rounds of their own."""
    words = []
    for name in ("go", "vcproxy"):
        target = stage.targets[name]
        found = system_calls(command(stage, target, 1.0), target)
        if found is None:
            return "system calls: not counted: perf cannot count them here"
        words.append(f"{name} {found['waits']:.2f} epoll waits, {found['writes']:.2f} writes")
    return f"system calls a request, in rounds of their own: {'; '.join(words)}"


def measured(stage: Stage, host: str, count: int, seconds: float) -> float:
    print(f"\nget of a ConfigMap, {CONNECTIONS} connections, {host}, {machine()}", flush=True)
    found = rounds(stage, count, seconds)
    print(calls(stage), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.ratio", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one sample")
    parser.add_argument(
        "--replay", action="store_true", help="and again before recorded answers: less noise, more load"
    )
    given = parser.parse_args()
    tell("starting a control plane, vcproxy and the Go proxy ...")
    with (
        tempfile.TemporaryDirectory(prefix="vcproxy-bench-") as folder,
        signals_as_interrupts(),
        staged(Path(folder)) as stage,
    ):
        found = measured(stage, "the real API server behind", given.rounds, given.seconds)
        if given.replay:
            stage.proxy.stop_serving()
            with replayed(stage) as other:
                again = measured(other, "its recorded answers behind", given.rounds, given.seconds)
            print(f"replayed: {again:.3f}")
    print(f"{found:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
