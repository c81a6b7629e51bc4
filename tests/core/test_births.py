"""Versions from before a tenant are none of its own."""

import pytest

from vcproxy.core import births, request
from vcproxy.core.view import Birth

BORN = Birth(version=200, events=30)
MAPS, EVENTS = "/api/v1/configmaps", "/apis/events.k8s.io/v1/events"


def too_old(target: str, method: str = "GET") -> bool:
    refusal = births.too_old(request.parse(method, target.encode()), BORN)
    assert refusal is None or (refusal.status.code, refusal.status.reason) == (410, "Expired")
    return refusal is not None


@pytest.mark.parametrize(
    "target",
    [
        f"{MAPS}?watch=1&resourceVersion=199",
        f"{MAPS}?watch=1&resourceVersion=199&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        f"{MAPS}?resourceVersion=199&resourceVersionMatch=Exact",
        f"{MAPS}?resourceVersion=199&limit=5",
        "/api/v1/namespaces/web/configmaps?resourceVersion=1&resourceVersionMatch=Exact",
        f"{EVENTS}?watch=1&resourceVersion=29",
        "/api/v1/events?watch=1&resourceVersion=29",
    ],
)
def test_what_was_before_the_tenant_is_too_old_for_it(target: str) -> None:
    assert too_old(target)


def test_a_deletion_of_what_was_then_is_none_either() -> None:
    assert too_old("/api/v1/namespaces/web/configmaps?resourceVersion=1&resourceVersionMatch=Exact", "DELETE")


@pytest.mark.parametrize(
    "target",
    [
        f"{MAPS}?watch=1&resourceVersion=200",
        f"{MAPS}?watch=1&resourceVersion=0",
        f"{MAPS}?watch=1",
        f"{MAPS}?resourceVersion=200&resourceVersionMatch=Exact",
        f"{MAPS}?resourceVersion=1&resourceVersionMatch=NotOlderThan",
        f"{MAPS}?resourceVersion=1&resourceVersionMatch=NotOlderThan&limit=5",
        f"{MAPS}?resourceVersion=1",
        f"{MAPS}/a?resourceVersion=1".replace("/v1/", "/v1/namespaces/web/"),
        f"{MAPS}?watch=1&resourceVersion=odd",
        f"{EVENTS}?watch=1&resourceVersion=30",
    ],
)
def test_everything_else_is_the_hosts_to_answer(target: str) -> None:
    assert not too_old(target)


def test_without_a_birth_that_was_noted_nothing_is_too_old() -> None:
    assert births.too_old(request.parse("GET", f"{MAPS}?watch=1&resourceVersion=1".encode()), Birth()) is None


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("resourceVersion=0", ""),
        ("watch=1&resourceVersion=0", "watch"),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan", ""),
        (
            "watch=1&resourceVersion=0&resourceVersionMatch=NotOlderThan&sendInitialEvents=true",
            "watch resourceVersionMatch sendInitialEvents",
        ),
        ("resourceVersion=00", ""),
        ("watch=1&resourceVersion=00", "watch"),
        ("resourceVersion=7", ""),
        ("resourceVersion=7&resourceVersionMatch=NotOlderThan", ""),
        ("resourceVersion=200", "resourceVersion"),
        ("resourceVersion=7&resourceVersionMatch=Exact", "resourceVersion resourceVersionMatch"),
        ("watch=1&resourceVersion=7", "watch resourceVersion"),
        ("resourceVersion=odd", "resourceVersion"),
        ("resourceVersion=" + "9" * 30, "resourceVersion"),
    ],
)
def test_a_young_tenant_reads_the_newest_where_any_version_would_do(query: str, kept: str) -> None:
    asked = request.parse("GET", f"{MAPS}?{query}".encode())
    assert " ".join(key for key, _ in births.fresh(asked, BORN, 59.0).query) == kept
    assert births.fresh(asked, BORN, births.YOUNG) is asked
