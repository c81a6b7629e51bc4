"""What is remembered of clients is bounded, however many they are and however much they say."""

import sys

from vcproxy.access.authenticator import Credential
from vcproxy.access.remembering import Remembered, weight
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId


def test_the_oldest_goes_where_there_are_too_many() -> None:
    kept = Remembered[str, int](2, 10_000)
    for number, key in enumerate(("a", "b", "a", "c")):
        kept.keep(key, number)
    assert [kept.get(key) for key in "abc"] == [2, None, 3]


def test_the_oldest_go_where_they_take_too_much() -> None:
    kept = Remembered[str, str](1000, 10_000)
    for number in range(50):
        kept.keep(f"{number}{'x' * 3000}", "")
    assert len(kept) == 3
    kept.keep("y" * 10_000, "")
    assert ("y" * 10_000 in kept, len(kept)) == (False, 3)


def test_what_is_forgotten_takes_no_room() -> None:
    kept = Remembered[str, str](1000, 10_000)
    for _ in range(9):
        kept.keep("x" * 9000, "")
        kept.forget("x" * 9000)
        kept.keep("x" * 9000, "")
        kept.clear()
    kept.forget("none")
    assert len(kept) == 0
    kept.keep("x" * 9000, "")
    assert len(kept) == 1


def test_all_that_a_value_holds_is_weighed() -> None:
    long = "g" * 5000
    caller = Caller(TenantId("acme"), "uid", "ann", (long, long), extra={"k": (long,), long: ()})
    assert 20_000 < weight((Credential(long), caller)) - 5000 < 25_000
    assert weight(long) == sys.getsizeof(long)
