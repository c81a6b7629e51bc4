"""Objects of a tenant's own kinds when it goes: also those that nobody could write as their definition stands."""

from typing import Any

from tests.shell.fakehost import FakeHost, refused
from vcproxy.core.names import TENANT_LABEL, TenantId
from vcproxy.tenants.definitions import DefinitionRights, parse
from vcproxy.tenants.hostapi import HostApi

ACME = TenantId("acme")
CRDS = "/apis/apiextensions.k8s.io/v1"
NAME = "things.acme-example.com"


def definition(*versions: tuple[str, bool, bool]) -> dict[str, Any]:
    """`versions`: name, served, storage."""
    spec = {
        "group": "acme-example.com",
        "names": {"plural": "things"},
        "versions": [
            {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object"}}}
            for name, served, storage in versions
        ],
    }
    return {"metadata": {"name": NAME, "labels": {TENANT_LABEL: "acme"}}, "spec": spec}


async def strip(host: FakeHost) -> None:
    found = parse(host.find("customresourcedefinitions", NAME) or {})
    assert found is not None
    await DefinitionRights(HostApi(host), lambda tenant: {}).strip(ACME, [found])


def versions(host: FakeHost) -> list[tuple[str, bool, bool, bool]]:
    found = (host.find("customresourcedefinitions", NAME) or {})["spec"]["versions"]
    open_ = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return [(one["name"], one["served"], one["storage"], one["schema"]["openAPIV3Schema"] == open_) for one in found]


def held() -> dict[str, Any]:
    return {"metadata": {"name": "x", "finalizers": ["a.b/c"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}


async def test_a_kind_that_is_served_nowhere_is_served_so_that_its_objects_can_go() -> None:
    host = FakeHost()
    host.put(CRDS, "customresourcedefinitions", definition(("v1", False, True), ("v1beta1", False, False)))
    host.put("/apis/acme-example.com/v1", "things", held())
    await strip(host)
    assert versions(host) == [("v1", True, True, True), ("v1beta1", True, False, True)]
    await strip(host)
    assert host.names("things") == []


async def test_a_kind_whose_schema_refuses_its_objects_takes_them_so_that_they_can_go() -> None:
    host = FakeHost()
    host.put(CRDS, "customresourcedefinitions", definition(("v1", True, True)))
    host.put("/apis/acme-example.com/v1", "things", held())
    host.fail["PATCH /apis/acme-example.com/v1/things/x"] = [refused(422, "Invalid")]
    await strip(host)
    assert versions(host) == [("v1", True, True, True)]
    await strip(host)
    assert host.names("things") == []


async def test_a_kind_whose_objects_can_be_written_stays_as_it_is() -> None:
    host = FakeHost()
    host.put(CRDS, "customresourcedefinitions", definition(("v1", True, True)))
    host.put("/apis/acme-example.com/v1", "things", held())
    await strip(host)
    assert host.names("things") == []
    assert versions(host) == [("v1", True, True, False)]
