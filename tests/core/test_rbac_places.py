"""Words under way count until the answer, until they are told of, or until they are too long on their way."""

import asyncio

import pytest

from vcproxy.core.names import TenantId
from vcproxy.core.rbac_places import LONGEST, Places
from vcproxy.core.rbac_policy import Identity
from vcproxy.core.status import bad_gateway, bad_request

ACME, NAMED = TenantId("acme"), ("Role", "web", "r")


class Clock:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def taken(places: Places, outcome: BaseException | None = None, words: int = 3, named: Identity = NAMED) -> None:
    """A write that ends."""
    try:
        with places.take(ACME, named, words):
            if outcome is not None:
                raise outcome
    except type(outcome or Exception()):
        pass


def test_what_is_under_way_counts_for_its_tenant_until_it_is_answered() -> None:
    places = Places(Clock())
    with places.take(ACME, NAMED, 3), places.take(ACME, NAMED, 4):
        assert (places.words(ACME), places.words(TenantId("globex"))) == (7, 0)
    assert places.words(ACME) == 0
    assert not places._held


def test_what_gets_no_bigger_takes_and_gives_no_place() -> None:
    places = Places(Clock())
    with places.take(ACME, NAMED, -3), places.take(ACME, NAMED, 0):
        assert places.words(ACME) == 0


def test_what_is_refused_gives_its_place_up() -> None:
    places = Places(Clock())
    taken(places, bad_request("no"))
    assert places.words(ACME) == 0


@pytest.mark.parametrize("outcome", [bad_gateway(), TimeoutError(), asyncio.CancelledError()])
def test_what_may_have_been_written_counts_until_it_is_told_of_or_its_time_is_over(outcome: BaseException) -> None:
    clock = Clock()
    places = Places(clock)
    taken(places, outcome)
    taken(places, outcome, words=4, named=("Role", "web", "other"))
    assert places.words(ACME) == 7
    places.told(ACME, NAMED)
    places.told(ACME, NAMED)
    assert places.words(ACME) == 4
    clock.now += LONGEST
    assert places.words(ACME) == 0
