"""What is measured in seconds and minutes: the way to a first object, and memory under a load that lasts."""

import statistics
import time
from typing import Final

from e2e.bench import requests
from e2e.bench.measure import memory_kib, sample
from e2e.bench.report import Group, Row
from e2e.bench.stage import Stage, tell
from e2e.cluster.proxy import TenantCluster, random_id

TIMES: Final = 3
EARLY: Final = 120.0
"""Seconds until the first look at memory."""
SHARE: Final = 0.5
"""Seconds of each work in a turn."""


def first_configmap(stage: Stage, rounds: int) -> Group:
    """From making a Tenant to its first ConfigMap, a token in between, with the commands that people use."""
    found = []
    for _ in range(min(rounds, TIMES)):
        start = time.monotonic()
        tenant = TenantCluster(stage.proxy, random_id(), stage.folder).create()
        tenant.kubectl("create", "configmap", "first")
        found.append(time.monotonic() - start)
    row = Row("four command lines", "vcproxy", {"s": statistics.median(found)})
    return Group("first-configmap", "from making a Tenant to its first ConfigMap", [row])


def memory(stage: Stage, minutes: float) -> Group:
    """Resident memory of vcproxy under mixed load (gets, lists, writes, watches): early, and at the end."""
    start, looks = time.monotonic(), dict[str, float]()
    target = stage.targets["vcproxy"]
    number = 0
    while (passed := time.monotonic() - start) < minutes * 60:
        for work in requests.WORKS:
            sample(requests.work_command(stage, work, target, SHARE, f"memory-{number}"), target)
        stage.tenant.kubectl("get", "pods", "-w", "--request-timeout=1s", check=False)
        number += 1
        if passed >= EARLY and not looks:
            looks["minute 2, MiB"] = memory_kib(target.pid) / 1024
            tell(f"memory: {looks}")
    looks[f"minute {minutes:.0f}, MiB"] = memory_kib(target.pid) / 1024
    return Group("memory", "resident memory under mixed load", [Row("mixed load", "vcproxy", looks)])
