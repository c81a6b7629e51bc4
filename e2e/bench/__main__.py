"""`make bench`: python -m e2e.bench [--only NAME]... [--rounds N] [--profile NAME] [-o json] [--write]."""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from e2e.bench import connections, lasting, profiling, report, requests, rights, tunnels, watchers
from e2e.bench.measure import machine, tried
from e2e.bench.report import Group
from e2e.bench.stage import Stage, replayed, staged, tell
from e2e.cluster.build import KUBERNETES
from e2e.cluster.processes import signals_as_interrupts

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "performance.md"
Measure = Callable[[Stage, int], Group]


def _of(work: requests.Work) -> Measure:
    return lambda stage, rounds: requests.measure(stage, work, rounds)


MEASURES: Final[dict[str, Measure]] = {
    **{work.name: _of(work) for work in requests.WORKS},
    "latency": requests.latency,
    "watchers": watchers.measure,
    "new-connections": connections.new_connections,
    "idle": connections.idle,
    "tunnels": tunnels.measure,
    "first-configmap": lasting.first_configmap,
    "rights": rights.measure,
}
WORKS: Final = {work.name: work for work in (*requests.WORKS, requests.LATENCY)}


def main() -> int:
    given = arguments(sys.argv[1:])
    start = time.monotonic()
    tell("starting a control plane, vcproxy and plain proxies ...")
    with (
        tempfile.TemporaryDirectory(prefix="vcproxy-bench-") as folder,
        signals_as_interrupts(),
        staged(Path(folder)) as stage,
    ):
        if given.profile:
            print(profiled(stage, given))
            return 0
        groups = [measured(name, stage, given.rounds) for name in given.only or MEASURES]
        if given.memory:
            groups.append(lasting.memory(stage, given.memory))
    tell(f"{time.monotonic() - start:.0f} s in all")
    if given.write:
        PAGE.write_text(report.updated(PAGE.read_text(), groups, made()))
    texts = [report.markdown(group) for group in groups]
    print(json.dumps(report.plain(groups), indent=2) if given.form == "json" else "\n".join(texts))
    return 1 if any(note.startswith("failed") for group in groups for note in group.not_run) else 0


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench")
    parser.add_argument("--only", action="append", choices=list(MEASURES), metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--rounds", type=int, default=requests.ROUNDS)
    parser.add_argument(
        "--profile", choices=[*WORKS, "watchers"], help="the heaviest functions of vcproxy under one load"
    )
    parser.add_argument("--native", action="store_true", help="with --profile: functions in C too")
    parser.add_argument(
        "--replay", action="store_true", help="with --profile of requests: recorded answers of the ConfigMap"
    )
    parser.add_argument(
        "--memory", type=float, default=0.0, metavar="MINUTES", help="and memory under load for so long"
    )
    parser.add_argument("-o", dest="form", choices=["text", "json"], default="text")
    parser.add_argument("--write", action="store_true", help="write the sections of docs/performance.md")
    return parser.parse_args(words)


def profiled(stage: Stage, given: argparse.Namespace) -> str:
    if given.profile == "watchers":
        return profiling.profile(stage, profiling.of_watchers(stage), given.native)
    work = WORKS[given.profile]
    if not given.replay:
        return profiling.profile(stage, profiling.of_work(stage, work), given.native)
    stage.proxy.stop_serving()
    with replayed(stage) as other:
        return profiling.profile(other, profiling.of_work(other, work), given.native)


def measured(name: str, stage: Stage, rounds: int) -> Group:
    start = time.monotonic()
    tell(f"{name} ...")
    notes: list[str] = []
    found = tried(name, lambda: MEASURES[name](stage, rounds), notes) or Group(name, name, not_run=notes)
    tell(f"{name}: {time.monotonic() - start:.0f} s")
    return found


def made() -> str:
    """How and on what the figures were made."""
    command = " ".join(["python -m e2e.bench", *sys.argv[1:]])
    return f"`{command}` on {machine()}, Python {platform.python_version()}, Kubernetes {KUBERNETES}."


if __name__ == "__main__":
    sys.exit(main())
