"""Tunnels: 100 MB out of `kubectl exec`, and through `kubectl port-forward`, against the same straight at the host.

The pod stands on a fake node of its own whose kubelet (a second kwok) answers exec with a command of this machine and
port-forward with a program of the bench, so it needs no containers and works where they cannot run.
"""

import contextlib
import json
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.bench.measure import FAILURES, usage
from e2e.bench.report import Group, Row, Verdict
from e2e.bench.requests import missing
from e2e.bench.stage import Stage, tell
from e2e.cluster.certificates import Pki
from e2e.cluster.control_plane import kwok_flags
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.nodes import ANNOTATION, node, write_kwok_config
from e2e.cluster.processes import Process, free_ports

MEGABYTES: Final = 100
SIZE: Final = MEGABYTES * 1_000_000
ROUNDS: Final = 3
LEAST: Final = 0.7
"""Of the direct way's throughput."""
POD: Final = "tunnelled"
NODE: Final = "bench"
DEADLINE: Final = 60.0
Way = tuple[Kubectl, Sequence[str]]
"""kubectl, and options that lead it to one way: the same user, the same namespace."""


def measure(stage: Stage, rounds: int) -> Group:
    try:
        port = _pod(stage)
    except FAILURES as error:
        return Group("tunnels", _title(), not_run=[f"not run: no pod that answers exec: {str(error)[:200]}"])
    rows: list[Row] = []
    verdicts: list[Verdict] = []
    not_run = list(missing(stage))
    works: dict[str, Callable[[Way], float]] = {"exec": _exec, "port-forward": lambda way: _forward(way, port)}
    for what, work in works.items():
        rates = _interleaved(stage, what, work, min(rounds, ROUNDS), rows, not_run)
        if "vcproxy" in rates and "direct" in rates:
            share = rates["vcproxy"] / rates["direct"]
            verdicts.append(Verdict(f"throughput of {what} over the direct way's", share, LEAST, least=True))
    return Group("tunnels", _title(), rows, verdicts, not_run)


def _title() -> str:
    return f"tunnels, {MEGABYTES} MB from a pod through kubectl"


def _interleaved(
    stage: Stage, what: str, work: Callable[[Way], float], rounds: int, rows: list[Row], not_run: list[str]
) -> dict[str, float]:
    """Megabytes a second by way; a way that has no tunnels is named in `not_run`."""
    seconds: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    ways = _ways(stage)
    for _ in range(rounds):
        for name in list(ways):
            pid = stage.targets[name].pid
            before = usage(pid)
            try:
                took = work(ways[name])
            except FAILURES as error:
                not_run.append(f"not run: {what} through {name}: {' '.join(str(error).split())[:200]}")
                del ways[name]
                continue
            seconds.setdefault(name, []).append(took)
            spent.setdefault(name, []).append((usage(pid).cpu - before.cpu) / MEGABYTES * 1000)
    rates = {name: MEGABYTES / statistics.median(found) for name, found in seconds.items()}
    tell(f"{what}: " + ", ".join(f"{name} {rate:.0f} MB/s" for name, rate in rates.items()))
    rows += [
        Row(what, name, {"MB/s": rate, "CPU ms/MB": statistics.median(spent[name])}) for name, rate in rates.items()
    ]
    return rates


def _ways(stage: Stage) -> dict[str, Way]:
    host = f"{stage.tenant.id}-default"
    plain = {name: stage.targets[name].url for name in ("go", "nginx") if name in stage.targets}
    return {
        "direct": (stage.host_kubectl, ("-n", host)),
        **{name: (stage.host_kubectl, ("-n", host, "--server", url)) for name, url in plain.items()},
        "vcproxy": (stage.tenant.kubectl, ("-n", "default")),
    }


def _exec(way: Way) -> float:
    """Seconds from the command to its last byte."""
    kubectl, options = way
    start = time.monotonic()
    command = [*options, "exec", POD, "--", "head", "-c", str(SIZE), "/dev/zero"]
    with _running(kubectl, command) as child:
        assert child.stdout is not None
        got = 0
        while piece := child.stdout.read(1 << 20):
            got += len(piece)
        took = time.monotonic() - start
        _expect(got, child)
    return took


def _forward(way: Way, port: int) -> float:
    """Seconds from the first byte that is asked for to the last, through a port-forward that stands already."""
    kubectl, options = way
    with _running(kubectl, [*options, "port-forward", f"pod/{POD}", f":{port}"]) as child:
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        if "Forwarding from" not in line:
            _expect(0, child)
        local = int(line.rpartition(" -> ")[0].rpartition(":")[2])
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", local), timeout=DEADLINE) as connection:
            got = 0
            while got < SIZE and (piece := connection.recv(1 << 20)):
                got += len(piece)
        took = time.monotonic() - start
        if got != SIZE:
            raise AssertionError(f"{got} bytes came through")
    return took


@contextlib.contextmanager
def _running(kubectl: Kubectl, arguments: Sequence[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """kubectl in the background; it is ended at the end."""
    command = [str(kubectl.program), *arguments]
    child = subprocess.Popen(
        command,
        env=kubectl.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _expect(got: int, child: "subprocess.Popen[bytes]") -> None:
    if got != SIZE:
        assert child.stderr is not None
        raise AssertionError(child.stderr.read().decode(errors="replace") or f"{got} bytes came through")


def _pod(stage: Stage) -> int:
    """A running pod on a node of its own; the port of it that gives 100 MB to whoever connects. Raises ProcessError."""
    folder = stage.folder / "tunnels"
    folder.mkdir(parents=True, exist_ok=True)
    kubelet, port = free_ports(2)
    source = [str(stage.tools / "load"), "source", "-listen", f"127.0.0.1:{port}", "-bytes", str(SIZE)]
    stage.processes.add(Process("source", source, folder / "source.log"))
    _kwok(stage, folder, kubelet, port)
    host = stage.host_kubectl
    fake = node(NODE)
    fake["metadata"]["annotations"] = {ANNOTATION: NODE}
    fake["spec"] = {"taints": [{"key": "vcproxy.io/bench", "effect": "NoSchedule"}]}
    host("create", "-f", "-", input=json.dumps(fake))
    namespace = f"{stage.tenant.id}-default"
    host("-n", namespace, "create", "-f", "-", input=json.dumps(_document(namespace)))
    host("-n", namespace, "wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=30s")
    return port


def _document(namespace: str) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.example/tunnelled:1"}
    spec = {"nodeName": NODE, "containers": [container], "tolerations": [{"operator": "Exists"}]}
    metadata = {"name": POD, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _kwok(stage: Stage, folder: Path, kubelet: int, port: int) -> None:
    """A second kwok, for nodes with an annotation of their own."""
    config = folder / "kwok.yaml"
    write_kwok_config(config, stage.host.kubectl.parent / "stages", folder / "container.log")
    kinds = {"ClusterPortForward": {"forwards": [{"target": {"address": "127.0.0.1", "port": port}}]}}
    documents = [
        {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": kind, "metadata": {"name": "bench"}, "spec": spec}
        for kind, spec in kinds.items()
    ]
    config.write_text("\n---\n".join([config.read_text(), *(yaml.safe_dump(one) for one in documents)]))
    flags = kwok_flags(Pki(stage.pki), kubelet, config)
    selector = "--manage-nodes-with-annotation-selector="
    flags = [f"{selector}{ANNOTATION}={NODE}" if flag.startswith(selector) else flag for flag in flags]
    process = Process("kwok-bench", [str(stage.host.kubectl.parent / "kwok"), *flags], folder / "kwok.log")
    stage.processes.add(process)
