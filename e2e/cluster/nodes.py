"""Fake nodes and what their pods do: kwok's configuration and the Node objects."""

from pathlib import Path
from typing import Any, Final

import yaml

NODES: Final = ("node-1", "node-2", "node-3")
ANNOTATION: Final = "kwok.x-k8s.io/node"
LOG_LINES: Final = ("one line of a fake container", "another line of a fake container")
"""What `logs` shows of every pod."""
PARALLELISM: Final = (
    "podPlayStageParallelism",
    "nodePlayStageParallelism",
    "nodeLeaseParallelism",
    "podsOnNodeSyncParallelism",
)
"""Options whose defaults are lost as soon as there is a configuration file."""


def write_kwok_config(path: Path, stages: Path, logs: Path) -> None:
    """One file: the options, the stages of kwok's own module, and for all containers one log file and this machine,
    which runs what is executed in them."""
    logs.write_text("".join(f"2026-01-01T00:00:00.000000000Z stdout F {line}\n" for line in LOG_LINES))
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
            "kind": "KwokConfiguration",
            "options": {**dict.fromkeys(PARALLELISM, 4), "enableDebuggingHandlers": True},
        },
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "ClusterLogs",
            "metadata": {"name": "logs"},
            "spec": {"logs": [{"logsFile": str(logs), "follow": True}]},
        },
        {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "ClusterExec",
            "metadata": {"name": "exec"},
            "spec": {"execs": [{"local": {"workDir": str(path.parent)}}]},
        },
    ]
    texts = [yaml.safe_dump(document) for document in documents]
    texts += [stage.read_text() for stage in sorted(stages.rglob("*.yaml"))]
    path.write_text("\n---\n".join(texts))


def node(name: str) -> dict[str, Any]:
    """A node as its kubelet would register it; kwok does the rest."""
    capacity = {"cpu": "32", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
        },
        "status": {"allocatable": capacity, "capacity": capacity},
    }
