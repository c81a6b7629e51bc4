"""`make bench`: python -m e2e.bench [--rounds N] [--scale X] [--memory MINUTES] [-o json] [--write]."""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from e2e.bench.measure import Sample, Work, median, memory_kib, sample
from e2e.bench.stage import Stage, staged
from e2e.cluster.processes import signals_as_interrupts
from e2e.cluster.proxy import random_id

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "performance.md"
CONNECTIONS: Final = 8
Results = dict[str, dict[str, Sample]]


def works(stage: Stage, scale: float) -> list[Work]:
    """What is measured; the counts are those of one round."""
    host = f"/api/v1/namespaces/{stage.tenant.id}-default"

    def work(name: str, rest: str, requests: int, *, create: bool = False) -> Work:
        paths = {"direct": host + rest, "go": host + rest, "vcproxy": "/api/v1/namespaces/default" + rest}
        return Work(name, paths, max(10, int(requests * scale)), create)

    return [
        work("get a ConfigMap", "/configmaps/small", 1000),
        work("get a Pod", f"/pods/{stage.pod}", 1000),
        work("list 100 Pods", "/pods", 60),
        work("create and delete", "/configmaps", 100, create=True),
    ]


def measured(stage: Stage, rounds: int, scale: float) -> Results:
    """All works on all targets, interleaved round by round; one round before them is not counted."""
    samples: dict[str, dict[str, list[Sample]]] = {}
    for number in range(rounds + 1):
        for work in works(stage, scale):
            for target in stage.targets:
                one = sample(stage.load, target, work, CONNECTIONS, f"r{number}-{target.name}")
                if number:
                    samples.setdefault(work.name, {}).setdefault(target.name, []).append(one)
        print(f"round {number} of {rounds}{' (not counted)' if not number else ''}", file=sys.stderr, flush=True)
    return {work: {name: median(found) for name, found in targets.items()} for work, targets in samples.items()}


def first_configmap(stage: Stage, times: int = 5) -> float:
    """Seconds from making a Tenant to its first ConfigMap, a token in between: the median of some."""
    found = []
    for _ in range(times):
        start = time.monotonic()
        tenant = type(stage.tenant)(stage.proxy, random_id(), stage.tenant.kubeconfig.parent).create()
        tenant.kubectl("create", "configmap", "first")
        found.append(time.monotonic() - start)
    return statistics.median(found)


def memory(stage: Stage, minutes: float) -> dict[str, int]:
    """Resident memory (KiB) of vcproxy under mixed load, at minute 2 and at the end."""
    start, early = time.monotonic(), 0
    target = next(one for one in stage.targets if one.name == "vcproxy")
    number = 0
    while (passed := time.monotonic() - start) < minutes * 60:
        for work in works(stage, 0.3):
            sample(stage.load, target, work, CONNECTIONS, f"m{number}")
        stage.tenant.kubectl("get", "pods", "-w", "--request-timeout=1s", check=False)
        number += 1
        if passed >= 120 and not early:
            early = memory_kib(stage.proxy.pid)
            print(f"minute 2: {early} KiB", file=sys.stderr, flush=True)
    return {"minute 2": early, f"minute {minutes:.0f}": memory_kib(stage.proxy.pid)}


def page(results: Results, first: float, held: dict[str, int], command: str) -> str:
    """The figures as Markdown."""
    lines = [
        "# Performance",
        "",
        f"Made by `{command}` on {os.cpu_count()} shared cores, Python {platform.python_version()}, Kubernetes 1.37,",
        f"TLS on both sides, {CONNECTIONS} keep-alive connections, everything on one machine. `direct` is the API",
        "server itself, `go` a plain `httputil.ReverseProxy` that rewrites nothing, interleaved in one run; medians of",
        "the rounds. Client, proxies and host share the machine: compare the figures with each other only.",
        "",
        "| | CPU us/request go | vcproxy | ratio | p50 ms direct | go | vcproxy | p99 ms direct | go | vcproxy |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for work, found in results.items():
        direct, plain, own = found["direct"], found["go"], found["vcproxy"]
        lines.append(
            f"| {work} | {plain.cpu:.0f} | {own.cpu:.0f} | {own.cpu / max(plain.cpu, 1):.2f} "
            f"| {direct.p50:.1f} | {plain.p50:.1f} | {own.p50:.1f} "
            f"| {direct.p99:.1f} | {plain.p99:.1f} | {own.p99:.1f} |"
        )
    lines += ["", f"From making a Tenant to its first ConfigMap, four command lines: {first:.2f} s (median of 5).", ""]
    if held:
        shown = ", ".join(f"{when}: {kib / 1024:.1f} MiB" for when, kib in held.items())
        lines += [f"Memory of vcproxy under mixed load (gets, lists, writes, watches): {shown}.", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer requests in a round")
    parser.add_argument("--memory", type=float, default=0.0, metavar="MINUTES", help="mixed load for so long, and RSS")
    parser.add_argument("-o", dest="form", choices=["text", "json"], default="text")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="vcproxy-bench-") as folder,
        signals_as_interrupts(),
        staged(Path(folder)) as stage,
    ):
        results = measured(stage, given.rounds, given.scale)
        first = first_configmap(stage)
        held = memory(stage, given.memory) if given.memory else {}
    command = "python -m e2e.bench" + "".join(f" {word}" for word in sys.argv[1:])
    text = page(results, first, held, command)
    if given.write:
        PAGE.write_text(text)
    print(json.dumps(_plain(results, first, held), indent=2) if given.form == "json" else text)
    return 0


def _plain(results: Results, first: float, held: dict[str, int]) -> dict[str, Any]:
    shown = {
        work: {name: {"cpuMicroseconds": one.cpu, "p50": one.p50, "p99": one.p99} for name, one in found.items()}
        for work, found in results.items()
    }
    return {"works": shown, "firstConfigMapSeconds": first, "memoryKiB": held}


if __name__ == "__main__":
    sys.exit(main())
