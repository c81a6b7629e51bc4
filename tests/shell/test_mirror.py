"""The mirror: a dictionary that follows, and tells each change once."""

from typing import Any

from tests.shell.fakehost import Scripted
from vcproxy.tenants.mirror import Key, Mirror
from vcproxy.tenants.reflector import Event, Sync


def item(name: str, value: int | None) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "s"}, "value": value}


async def test_changes_are_told_once_and_what_does_not_count_is_absent() -> None:
    told: list[tuple[str, int | None, int | None]] = []

    def changed(key: Key, before: int | None, after: int | None) -> None:
        told.append((key[1], before, after))

    mirror: Mirror[int] = Mirror(Scripted(), "/x", lambda document: document["value"], changed)
    mirror.deliver(Sync([item("a", 1), item("b", 2), item("odd", None)]))
    mirror.deliver(Event("MODIFIED", item("a", 1)))
    mirror.deliver(Event("MODIFIED", item("a", 5)))
    mirror.deliver(Event("MODIFIED", item("b", None)))
    mirror.deliver(Event("DELETED", item("unknown", 1)))
    mirror.deliver(Event("DELETED", item("a", 5)))
    mirror.deliver(Sync([item("c", 7)]))
    mirror.deliver(Sync([item("d", 8)]))
    assert told == [
        ("a", None, 1),
        ("b", None, 2),
        ("a", 1, 5),
        ("b", 2, None),
        ("a", 5, None),
        ("c", None, 7),
        ("c", 7, None),
        ("d", None, 8),
    ]
    assert dict(mirror.items) == {("s", "d"): 8}


async def test_objects_are_kept_by_the_name_that_they_came_with_although_parsing_changes_them() -> None:
    def parse(document: dict[str, Any]) -> int:
        document["metadata"]["namespace"] = "the same for all"
        return int(document["value"])

    mirror: Mirror[int] = Mirror(Scripted(), "/x", parse, lambda key, before, after: None)
    mirror.deliver(Event("ADDED", item("a", 1)))
    mirror.deliver(Event("ADDED", {"metadata": {"name": "a", "namespace": "t"}, "value": 2}))
    assert dict(mirror.items) == {("s", "a"): 1, ("t", "a"): 2}
    mirror.deliver(Event("DELETED", item("a", 1)))
    assert dict(mirror.items) == {("t", "a"): 2}
