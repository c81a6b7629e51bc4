"""The condition AuthenticationReady: written by the controller beside its work, about the spec as it is now."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.shell.fakehost import FakeHost, until
from tests.shell.test_controller import installed, phase, running, tenant
from vcproxy.cli.tenants import _described
from vcproxy.core.names import TenantId

JWT = {"jwt": [{"issuer": {"url": "https://a"}}]}


class Judge:
    """Says what it is told to; may take for ever."""

    def __init__(self, mistakes: list[str] | None = None, unreachable: list[str] | None = None) -> None:
        self.mistakes, self.unreachable = mistakes or [], unreachable or []
        self.asked = 0
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self, tenant: TenantId, spec: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        self.asked += 1
        await self.may.wait()
        return self.mistakes, self.unreachable


def condition(host: FakeHost) -> dict[str, Any]:
    conditions = ((host.find("tenants", "acme") or {}).get("status") or {}).get("conditions") or []
    found: dict[str, Any] = next((one for one in conditions if one["type"] == "AuthenticationReady"), {})
    return found


async def test_a_tenant_without_authentication_has_no_such_condition() -> None:
    host = installed()
    async with running(host, assess=Judge(["x"])):
        tenant(host)
        await until(lambda: phase(host) == "Active")
        assert condition(host) == {}


async def test_what_is_in_order_is_accepted() -> None:
    host = installed()
    async with running(host, assess=Judge()):
        tenant(host, authentication=JWT)
        await until(lambda: condition(host).get("status") == "True")
    assert (condition(host)["reason"], condition(host)["message"]) == ("Accepted", "")


async def test_mistakes_are_told_where_they_stand_and_by_describe() -> None:
    host = installed()
    async with running(host, assess=Judge(["jwt[0].claimMappings: odd"], ["issuer https://b: down"])):
        tenant(host, authentication=JWT)
        await until(lambda: condition(host).get("status") == "False")
    assert condition(host)["reason"] == "Invalid"
    wanted = "spec.authentication.jwt[0].claimMappings: odd; issuer https://b: down: correct it; what is right"
    assert condition(host)["message"].startswith(wanted)
    shown = _described(host.find("tenants", "acme") or {})
    assert "AuthenticationReady=False (Invalid) spec.authentication.jwt[0]" in shown


async def test_an_issuer_that_cannot_be_asked_is_told_and_nothing_waits_for_it() -> None:
    host, judge = installed(), Judge([], ["issuer https://b: down"])
    judge.may.clear()
    async with running(host, assess=judge):
        tenant(host, authentication=JWT)
        await until(lambda: phase(host) == "Active")
        assert (condition(host)["status"], condition(host)["reason"]) == ("Unknown", "Checking")
        judge.may.set()
        await until(lambda: condition(host)["reason"] == "IssuerUnreachable")


async def test_a_corrected_spec_is_looked_at_again_and_one_taken_out_ends_the_condition() -> None:
    host, judge = installed(), Judge(["x"])
    async with running(host, assess=judge):
        tenant(host, authentication=JWT)
        await until(lambda: condition(host).get("status") == "False")
        judge.mistakes = []
        tenant(host, authentication={"jwt": []})
        await until(lambda: condition(host).get("status") == "True")
        tenant(host)
        await until(lambda: condition(host) == {})


async def test_another_leader_keeps_what_was_found_until_it_has_looked_itself() -> None:
    host = installed()
    async with running(host, assess=Judge(["x"])):
        tenant(host, authentication=JWT)
        await until(lambda: condition(host).get("status") == "False")
    since, judge = condition(host)["lastTransitionTime"], Judge(["x"])
    judge.may.clear()
    async with running(host, assess=judge):
        await until(lambda: judge.asked)
        assert (condition(host)["status"], condition(host)["lastTransitionTime"]) == ("False", since)


async def test_many_long_mistakes_leave_room_for_each_other() -> None:
    host = installed()
    async with running(host, assess=Judge([f"jwt[{index}]: {'x' * 900}" for index in range(3)])):
        tenant(host, authentication=JWT)
        await until(lambda: condition(host).get("status") == "False")
    assert all(f"jwt[{index}]" in condition(host)["message"] for index in range(3))
    assert len(condition(host)["message"]) <= 1024
