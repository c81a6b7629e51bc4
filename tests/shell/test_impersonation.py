"""The list of users in the role: sorted, complete, never empty, and written once for many."""

import asyncio
from typing import Any

import pytest

from tests.shell.fakehost import FakeHost, refused
from vcproxy.tenants.hostapi import HostApi, HostError
from vcproxy.tenants.impersonation import PATH, Impersonation

RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUPS = {"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": ["vcproxy:tenants"]}


def role(host: FakeHost, *names: str) -> None:
    users = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": list(names)}
    host.put(
        RBAC,
        "clusterroles",
        {"metadata": {"name": "vcproxy:impersonator"}, "rules": [users, GROUPS] if names else [GROUPS]},
    )


def rules(host: FakeHost) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (host.find("clusterroles", "vcproxy:impersonator") or {})["rules"]
    return found


async def test_users_come_sorted_and_those_of_no_tenant_go() -> None:
    host = FakeHost()
    role(host, "stranger", "b")
    await Impersonation(HostApi(host), lambda: ["a", "b", "c"]).ensure("a")
    assert rules(host) == [GROUPS, {**GROUPS, "resources": ["users"], "resourceNames": ["a", "b"]}]


async def test_no_user_means_no_rule() -> None:
    host = FakeHost()
    role(host, "a")
    await Impersonation(HostApi(host), lambda: ["a"]).remove("a")
    assert rules(host) == [GROUPS]


async def test_what_is_right_is_not_written() -> None:
    host = FakeHost()
    role(host)
    impersonation = Impersonation(HostApi(host), lambda: ["a"])
    await impersonation.ensure("a")
    await impersonation.ensure("a")
    assert host.log.count(f"PUT {PATH}") == 1
    assert not impersonation.differs(host.find("clusterroles", "vcproxy:impersonator"))
    assert not impersonation.differs(None)


async def test_many_at_once_are_two_writes_and_all_are_in_when_each_returns() -> None:
    host = FakeHost()
    role(host)
    names = [f"u{number}" for number in range(40)]
    impersonation = Impersonation(HostApi(host), lambda: names)

    async def one(name: str) -> None:
        await impersonation.ensure(name)
        assert name in rules(host)[-1]["resourceNames"]

    await asyncio.gather(*map(one, names))
    assert host.log.count(f"PUT {PATH}") <= 2


async def test_conflicts_are_retried_and_other_failures_raised() -> None:
    host = FakeHost()
    role(host)
    impersonation = Impersonation(HostApi(host), lambda: ["a"])
    host.fail[f"PUT {PATH}"] = [refused(409, "Conflict"), refused(409, "Conflict"), refused(403, "Forbidden")]
    with pytest.raises(HostError, match="403"):
        await impersonation.ensure("a")
    await impersonation.ensure("a")
    assert rules(host)[-1]["resourceNames"] == ["a"]
