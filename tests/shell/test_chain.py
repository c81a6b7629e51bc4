"""The chain: in order, alike for all that is bad, and a running watch that is looked at without waiting."""

import asyncio

import pytest

from vcproxy.access import chain as module
from vcproxy.access.authenticator import Credential, UndecidedError
from vcproxy.access.chain import Chain
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError

ACME = TenantId("acme")
ANN = Caller(ACME, "uid-1", "ann")
BOB = Caller(ACME, "uid-1", "bob")
CREDENTIAL = Credential("token")


class Scripted:
    """An authenticator that answers what it was told to; `known` from its cache."""

    def __init__(self, answer: Caller | ApiError | None = None, known: Caller | ApiError | None = None) -> None:
        self.answer = answer
        self.known = known
        self.asked = 0

    def recall(self, credential: Credential, now: float) -> Caller | None:
        return _given(self.known)

    def reconsider(self) -> None:
        self.known = None

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        self.asked += 1
        await asyncio.sleep(0)
        return _given(self.answer)


def _given(answer: Caller | ApiError | None) -> Caller | None:
    if isinstance(answer, ApiError):
        raise answer
    return answer


async def test_the_first_that_knows_a_credential_answers() -> None:
    first, second, third = Scripted(), Scripted(ANN), Scripted(BOB)
    assert await Chain([first, second, third]).authenticate(CREDENTIAL, 0) == ANN
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)


async def test_who_finds_a_credential_bad_ends_the_search() -> None:
    last = Scripted(ANN)
    with pytest.raises(ApiError) as caught:
        await Chain([Scripted(status.unauthorized()), last]).authenticate(CREDENTIAL, 0)
    assert (caught.value.status.code, last.asked) == (401, 0)


async def test_who_cannot_be_asked_leaves_it_to_those_after_and_else_has_not_said_no() -> None:
    undecided = UndecidedError()
    assert await Chain([Scripted(undecided), Scripted(ANN)]).authenticate(CREDENTIAL, 0) == ANN
    with pytest.raises(UndecidedError):
        await Chain([Scripted(undecided), Scripted()]).authenticate(CREDENTIAL, 0)
    with pytest.raises(ApiError) as caught:
        await Chain([Scripted(undecided), Scripted(status.unauthorized())]).authenticate(CREDENTIAL, 0)
    assert not isinstance(caught.value, UndecidedError)


async def test_a_credential_of_no_sort_is_refused_like_a_bad_one() -> None:
    with pytest.raises(ApiError) as caught:
        await Chain([Scripted(), Scripted()]).authenticate(CREDENTIAL, 0)
    assert caught.value.status == status.unauthorized().status


def test_what_a_cache_knows_is_told_without_waiting() -> None:
    assert Chain([Scripted(), Scripted(known=ANN)]).recall(CREDENTIAL, 0) == ANN
    assert Chain([Scripted()]).recall(CREDENTIAL, 0) is None
    with pytest.raises(ApiError):
        Chain([Scripted(known=status.unauthorized())]).recall(CREDENTIAL, 0)


async def test_what_was_found_bad_is_asked_anew_where_the_configuration_is_another() -> None:
    chain = Chain([Scripted(ANN), Scripted(known=status.unauthorized())])
    with pytest.raises(ApiError):
        chain.recall(CREDENTIAL, 0)
    chain.reconsider()
    assert chain.recall(CREDENTIAL, 0) is None
    assert await chain.authenticate(CREDENTIAL, 0) == ANN


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        (ANN, True),
        (BOB, False),
        (Caller(ACME, "uid-2", "ann"), False),
        (status.unauthorized(), False),
    ],
)
def test_a_watch_goes_on_while_its_credential_names_the_same_caller(known: Caller | ApiError, *, counts: bool) -> None:
    assert Chain([Scripted(known=known)]).counts(CREDENTIAL, ANN, 0) is counts


def test_a_watch_of_somebody_who_is_impersonated_depends_on_who_impersonates() -> None:
    caller = Caller(ACME, "uid-1", "bob", actor="ann")
    assert Chain([Scripted(known=ANN)]).counts(CREDENTIAL, caller, 0)
    assert not Chain([Scripted(known=BOB)]).counts(CREDENTIAL, caller, 0)


def test_a_watch_ends_with_its_credential_though_nobody_remembers_it() -> None:
    assert not Chain([Scripted()]).counts(CREDENTIAL, Caller(ACME, "uid-1", "ann", expires=5), 5)


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (ANN, True),
        (BOB, False),
        (None, False),
        (status.unauthorized(), False),
        (status.timed_out(), True),
    ],
)
async def test_a_forgotten_credential_is_looked_at_again_in_the_background(
    answer: Caller | ApiError | None, *, counts: bool
) -> None:
    one = Scripted(answer)
    chain = Chain([one])
    assert chain.counts(CREDENTIAL, ANN, 0)
    assert chain.counts(CREDENTIAL, ANN, 0)
    await asyncio.sleep(0.01)
    assert one.asked == 1
    assert chain.counts(CREDENTIAL, ANN, 1) is counts
    await asyncio.sleep(0.01)


async def test_looks_in_the_background_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKS", 2)
    one = Scripted(ANN)
    chain = Chain([one])
    assert all(chain.counts(Credential(f"token-{index}"), ANN, 0) for index in range(5))
    await asyncio.sleep(0.01)
    assert one.asked == 2
