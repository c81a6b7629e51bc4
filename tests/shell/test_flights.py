"""Questions under way, one for each credential."""

import asyncio

import pytest

from vcproxy.access.authenticator import Credential, UnreachableIssuerError
from vcproxy.access.flights import Flights

ANN, BOB = Credential("ann", b""), Credential("bob", b"")


class Desk:
    """Looks when it is told to go on."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.go_on = asyncio.Event()

    async def look(self, credential: Credential, now: float) -> str:
        self.asked.append((credential.token, now))
        await self.go_on.wait()
        if credential == BOB:
            raise ValueError("nobody")
        return f"it is {credential.token}"


async def test_all_who_ask_meanwhile_get_the_one_answer() -> None:
    desk = Desk()
    flights = Flights(desk.look, 2)
    waiting = [asyncio.create_task(flights.wait(ANN, at)) for at in (1.0, 2.0, 3.0)]
    await asyncio.sleep(0)
    desk.go_on.set()
    assert await asyncio.gather(*waiting) == ["it is ann"] * 3
    assert desk.asked == [("ann", 1.0)]
    assert await flights.wait(ANN, 4.0) == "it is ann"
    assert len(desk.asked) == 2


async def test_all_who_wait_are_refused_alike() -> None:
    desk = Desk()
    flights = Flights(desk.look, 2)
    desk.go_on.set()
    answers = await asyncio.gather(flights.wait(BOB, 1.0), flights.wait(BOB, 1.0), return_exceptions=True)
    assert [str(one) for one in answers] == ["nobody", "nobody"]


async def test_who_goes_away_takes_nobody_along() -> None:
    desk = Desk()
    flights = Flights(desk.look, 2)
    first, second = (asyncio.create_task(flights.wait(ANN, 1.0)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    desk.go_on.set()
    assert await second == "it is ann"


async def test_there_is_room_for_so_many_and_a_look_ahead_is_left_out_without_any() -> None:
    desk = Desk()
    flights = Flights(desk.look, 1)
    flights.begin(ANN, 1.0)
    flights.begin(ANN, 2.0)
    flights.begin(BOB, 3.0)
    await asyncio.sleep(0)
    assert desk.asked == [("ann", 1.0)]
    with pytest.raises(UnreachableIssuerError):
        await flights.wait(BOB, 4.0)
    desk.go_on.set()
    assert await flights.wait(ANN, 5.0) == "it is ann"
