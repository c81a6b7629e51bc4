"""Places for definitions: those under way count until they are told of, refused, or too long on their way."""

import asyncio
from typing import Any

import pytest

from vcproxy.access.definitions import LONGEST, Definitions, Place
from vcproxy.core.apis import collect
from vcproxy.core.http import Reply
from vcproxy.core.names import TenantId
from vcproxy.core.request import parse
from vcproxy.core.status import ApiError, bad_gateway, bad_request
from vcproxy.core.view import Phase, TenantView

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def view(*names: str, tenant: str = "acme") -> TenantView:
    return TenantView(TenantId(tenant), "u", Phase.ACTIVE, apis=collect((), "", names))


def take(definitions: Definitions, found: TenantView, method: str = "POST", path: str = PATH) -> Place | None:
    return definitions.place(parse(method, path.encode()), found)


async def settle(place: Place | None, outcome: int | ApiError) -> None:
    async def reply() -> Reply:
        if isinstance(outcome, ApiError):
            raise outcome
        return Reply(outcome, (), b"")

    assert place is not None
    await asyncio.gather(place.settled(reply()), return_exceptions=True)


def refused(definitions: Definitions, found: TenantView, **asked: Any) -> bool:
    try:
        take(definitions, found, **asked)
    except ApiError as refusal:
        return refusal.status.code == 403
    return False


def test_what_is_under_way_counts_although_nobody_has_told_of_it() -> None:
    definitions = Definitions(2)
    assert not refused(definitions, view())
    assert not refused(definitions, view())
    assert refused(definitions, view())
    assert refused(definitions, view(), method="PATCH", path=f"{PATH}/a.b.c")
    assert not refused(definitions, view(tenant="globex"))


async def test_one_that_is_told_of_counts_once() -> None:
    definitions = Definitions(2)
    await settle(take(definitions, view()), 201)
    await settle(take(definitions, view("a.b.c")), 201)
    assert refused(definitions, view("a.b.c"))
    assert refused(definitions, view("a.b.c", "d.b.c"))
    assert not refused(definitions, view("a.b.c"))


@pytest.mark.parametrize("outcome", [409, 422, 200, bad_request("x")], ids=str)
async def test_a_place_is_given_up_where_nothing_was_made(outcome: int | ApiError) -> None:
    definitions = Definitions(1)
    await settle(take(definitions, view()), outcome)
    assert not refused(definitions, view())


@pytest.mark.parametrize("outcome", [201, 500, bad_gateway()], ids=str)
async def test_what_may_have_been_made_counts_for_a_while(outcome: int | ApiError) -> None:
    clock = Clock()
    definitions = Definitions(1, clock)
    await settle(take(definitions, view()), outcome)
    assert refused(definitions, view())
    clock.now = LONGEST
    assert not refused(definitions, view())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", PATH),
        ("DELETE", f"{PATH}/a.b.c"),
        ("PATCH", f"{PATH}/a.b.c"),
        ("POST", f"{PATH}?dryRun=All"),
        ("POST", "/api/v1/namespaces/x/pods"),
    ],
)
def test_what_defines_nothing_takes_no_place(method: str, path: str) -> None:
    definitions = Definitions(1)
    assert take(definitions, view("a.b.c"), method, path) is None


async def test_a_definition_that_was_told_of_and_deleted_leaves_its_place_to_another() -> None:
    definitions = Definitions(1)
    await settle(take(definitions, view()), 201)
    take(definitions, view("a.b.c"), "DELETE", f"{PATH}/a.b.c")
    assert not refused(definitions, view())
