"""The OpenAPI filter, against recorded documents of a host."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core import discovery, kinds, openapi, openapi_protobuf
from vcproxy.core.openapi import V2_PROTOBUF, V2_PROTOBUF_ANSWER, Document
from vcproxy.core.status import ApiError

FIXTURES = Path(__file__).parent.parent / "fixtures"
V2, V3, INDEX = (
    json.loads((FIXTURES / "openapi" / f"{name}.json").read_text()) for name in ("v2", "v3-api-v1", "v3-index")
)
PROTOBUF = (FIXTURES / "openapi" / "v2.pb").read_bytes()
SERVED = kinds.Served()
KINDS = frozenset((row.group, row.kind) for row in kinds.served())
VERSIONS = discovery.group_versions(
    *(
        discovery.filtered(json.loads((FIXTURES / "discovery" / f"{name}.json").read_text()), SERVED)
        for name in ("api", "apis")
    )
)
SHOWN_GROUPS = frozenset(group for group, _ in VERSIONS)
HIDDEN_GROUPS = frozenset(row.group for row in kinds.TABLE.values()) - SHOWN_GROUPS | {"vcproxy.io"}
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
GVK: Final = "x-kubernetes-group-version-kind"
METHODS: Final = {2: "get", 3: "put", 4: "post", 5: "delete", 6: "options", 7: "head", 8: "patch"}
"""Fields of PathItem in OpenAPIv2.proto."""
CONFIG_MAP = "/api/v1/namespaces/{namespace}/configmaps/{name}"


class Only:
    """A tenant that may see some resources and all of their subresources."""

    def __init__(self, keys: frozenset[tuple[str, str]]) -> None:
        self.keys = keys
        self.groups = frozenset(group for group, _ in keys)

    def resource(self, group: str, resource: str) -> bool:
        return (group, resource) in self.keys

    def subresource(self, group: str, resource: str, sub: str) -> bool:
        return True

    def verbs(self, group: str, resource: str, subresource: str, verbs: list[str]) -> list[str]:
        return verbs


class Reader(Only):
    """A tenant that may only look."""

    def verbs(self, group: str, resource: str, subresource: str, verbs: list[str]) -> list[str]:
        return [verb for verb in verbs if verb in ("get", "list", "watch")]


TENANTS = st.frozensets(
    st.sampled_from(
        [
            ("", "configmaps"),
            ("", "namespaces"),
            ("", "nodes"),
            ("", "pods"),
            ("apps", "deployments"),
            ("coordination.k8s.io", "leases"),
            ("rbac.authorization.k8s.io", "roles"),
        ]
    )
).flatmap(lambda keys: st.sampled_from([Only(keys), Reader(keys)]))


def v2(document: Document = V2) -> Document:
    return openapi.filter_v2(document, SERVED, SHOWN_GROUPS, KINDS)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolves(document: Document, reference: str) -> bool:
    value: Any = document
    for key in reference.removeprefix("#/").split("/"):
        if key not in value:
            return False
        value = value[key]
    return True


# Paths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "visible"),
    [
        ("/api/", True),
        ("/apis/", True),
        ("/version/", True),
        ("/api/v1/", True),
        (CONFIG_MAP, True),
        ("/api/v1/namespaces", True),
        ("/api/v1/namespaces/{name}/status", True),
        ("/api/v1/namespaces/{namespace}/pods/{name}/log", True),
        ("/api/v1/watch/namespaces/{namespace}/configmaps/{name}", True),
        ("/api/v1/watch/namespaces/{name}", True),
        ("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", True),
        ("/api/v1/namespaces/{namespace}/pods/{name}/exec", True),
        ("/api/v1/namespaces/{namespace}/pods/{name}/proxy/{path}", True),
        ("/api/v1/namespaces/{namespace}/services/{name}/proxy", True),
        ("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", True),
        ("/api/v1/nodes", True),
        ("/api/v1/nodes/{name}/proxy/{path}", False),
        ("/api/v1/nodes/{name}/status", False),
        ("/api/v1/watch/nodes", True),
        ("/api/v1/componentstatuses", False),
        ("/apis/rbac.authorization.k8s.io/v1/watch/namespaces/{namespace}/roles", True),
        ("/apis/certificates.k8s.io/", False),
        ("/apis/certificates.k8s.io/v1/watch/certificatesigningrequests", False),
        ("/apis/vcproxy.io/v1alpha1/tenants", False),
        ("/apis/metrics.k8s.io/v1beta1/pods", False),
        ("/.well-known/openid-configuration/", False),
        ("/openid/v1/jwks/", False),
        ("/logs/", False),
        ("/", False),
        ("", False),
    ],
)
def test_a_path_is_shown_if_its_resource_is(path: str, visible: bool) -> None:
    assert openapi.path_visible(path, SERVED, SHOWN_GROUPS) is visible


# Version 2 -----------------------------------------------------------------------------------------------------------


def test_version_2_holds_the_visible_paths_and_what_they_refer_to() -> None:
    shown = v2()
    assert set(shown["paths"]) == {path for path in V2["paths"] if openapi.path_visible(path, SERVED, SHOWN_GROUPS)}
    assert {"io.k8s.api.core.v1.ConfigMap", "io.k8s.api.autoscaling.v1.Scale"} <= set(shown["definitions"])
    assert "io.k8s.api.rbac.v1.Role" in shown["definitions"]
    assert "io.vcproxy.v1alpha1.Tenant" not in shown["definitions"]
    assert {key: shown[key] for key in ("swagger", "info", "security")} == {
        key: V2[key] for key in ("swagger", "info", "security")
    }


def test_shared_parameters_of_hidden_paths_are_gone() -> None:
    parameters = {name.rpartition("-")[0].rstrip("-") for name in v2()["parameters"]}
    assert "labelSelector" in parameters
    assert not {"logpath"} & parameters


@pytest.mark.parametrize("group", sorted(HIDDEN_GROUPS))
def test_no_hidden_group_is_named_anywhere(group: str) -> None:
    named = group.encode()
    assert named in PROTOBUF
    shown = v2()
    assert named not in json.dumps(shown).encode()
    assert named not in protobuf_of(shown)


def test_kinds_of_aggregated_servers_are_not_named_in_shared_definitions() -> None:
    options = f"{META}.DeleteOptions"
    foreign = {"group": "metrics.k8s.io", "kind": "DeleteOptions", "version": "v1beta1"}
    schema = V2["definitions"][options]
    document = {**V2, "definitions": {**V2["definitions"], options: {**schema, GVK: [*schema[GVK], foreign]}}}
    shown = v2(document)["definitions"][options][GVK]
    assert foreign not in shown
    assert {"group": "apps", "kind": "DeleteOptions", "version": "v1"} in shown
    assert {"group": "", "kind": "DeleteOptions", "version": "v1"} in shown


def test_a_version_of_which_nothing_is_left_is_gone() -> None:
    beta = "/apis/networking.k8s.io/v1beta1/"
    item = V2["paths"]["/apis/apps/v1/"]
    document = {**V2, "paths": {**V2["paths"], beta: item, f"{beta}ipaddresses": item}}
    assert v2(document)["paths"].keys() == v2()["paths"].keys()


def test_the_definition_of_a_visible_kind_stays_without_a_path_to_it() -> None:
    paths = {path: V2["paths"][path] for path in ("/api/", "/version/")}
    shown = v2({**V2, "paths": paths})["definitions"]
    assert {"io.k8s.api.coordination.v1.Lease", "io.k8s.api.coordination.v1.LeaseSpec"} <= set(shown)
    assert "io.vcproxy.v1alpha1.Tenant" not in shown


def test_a_custom_resource_of_the_same_kind_in_another_group_is_not_taken_for_a_visible_one() -> None:
    own = {"type": "object", GVK: [{"group": "example.com", "kind": "ConfigMap", "version": "v1"}]}
    document = {**V2, "definitions": {**V2["definitions"], "com.example.v1.ConfigMap": own}}
    assert v2(document) == v2()


@given(TENANTS)
def test_no_reference_of_version_2_leads_nowhere_and_filtering_twice_changes_nothing(tenant: Only) -> None:
    shown = openapi.filter_v2(V2, tenant, tenant.groups, frozenset())
    assert [one for one in references(shown) if not resolves(shown, one)] == []
    assert openapi.filter_v2(shown, tenant, tenant.groups, frozenset()) == shown


def methods(document: Document, path: str) -> set[str]:
    return set(openapi.methods_of(document["paths"])[path])


def test_an_operation_is_shown_if_its_verb_is() -> None:
    """Nodes are read-only; `connect` has no verb and goes with its path; parameters of a path are no operation."""
    shown = v2()
    node, run = "/api/v1/nodes/{name}", "/api/v1/namespaces/{namespace}/pods/{name}/exec"
    assert (methods(V2, node), methods(shown, node)) == ({"get", "put", "patch", "delete"}, {"get"})
    assert methods(shown, CONFIG_MAP) == {"get", "put", "patch", "delete"}
    assert methods(shown, run) == methods(V2, run) == {"get", "post"}
    assert shown["paths"][node]["parameters"] == V2["paths"][node]["parameters"]
    assert methods(openapi.filter_v3(V3, SERVED, SHOWN_GROUPS, KINDS), node) == {"get"}


def test_a_path_without_an_operation_left_is_gone() -> None:
    tenant = Reader(frozenset({("", "namespaces")}))
    assert "/api/v1/namespaces/{name}/finalize" in V2["paths"]
    shown = openapi.filter_v2(V2, tenant, tenant.groups, frozenset())
    assert "/api/v1/namespaces/{name}/finalize" not in shown["paths"]


# Version 2 as protobuf -----------------------------------------------------------------------------------------------


def protobuf_of(shown: Document, raw: bytes = PROTOBUF) -> bytes:
    return openapi_protobuf.filter_v2_protobuf(raw, openapi.methods_of(shown["paths"]), shown["definitions"])


def inside(raw: bytes, number: int) -> list[bytes]:
    """What the fields of a number hold."""
    return [body for found, _, body in openapi_protobuf.fields(raw) if found == number]


def named(raw: bytes, number: int, inner: int) -> dict[str, bytes]:
    """The values of one of Document's maps, by name."""
    return {
        inside(entry, 1)[0].decode(): inside(entry, 2)[0]
        for part in inside(raw, number)
        for entry in inside(part, inner)
    }


def group_version_kinds(schema: bytes) -> Any:
    for extension in inside(schema, 31):
        if inside(extension, 1) == [GVK.encode()]:
            return yaml.safe_load(inside(inside(extension, 2)[0], 2)[0])
    return None


@given(TENANTS)
def test_protobuf_holds_the_same_paths_parameters_definitions_and_kinds_as_json(tenant: Only) -> None:
    shown = openapi.filter_v2(V2, tenant, tenant.groups, frozenset())
    raw = protobuf_of(shown)
    methods_in = {
        path: {METHODS[number] for number, _, _ in openapi_protobuf.fields(item) if number in METHODS}
        for path, item in named(raw, 8, 2).items()
    }
    assert methods_in == openapi.methods_of(shown["paths"])
    assert set(named(raw, 10, 1)) == set(shown["parameters"])
    definitions = named(raw, 9, 1)
    assert set(definitions) == set(shown["definitions"])
    for name, schema in definitions.items():
        assert group_version_kinds(schema) == shown["definitions"][name].get(GVK)


def test_protobuf_of_which_all_is_kept_is_the_hosts_own_but_for_hidden_kinds() -> None:
    every = openapi_protobuf.filter_v2_protobuf(PROTOBUF, openapi.methods_of(V2["paths"]), V2["definitions"])
    before, after = named(PROTOBUF, 9, 1), named(every, 9, 1)
    assert named(every, 8, 2) == named(PROTOBUF, 8, 2)
    assert {name for name in before if before[name] != after[name]} == {f"{META}.DeleteOptions", f"{META}.WatchEvent"}


def test_protobuf_filtered_twice_changes_nothing() -> None:
    shown = v2()
    assert protobuf_of(shown, protobuf_of(shown)) == protobuf_of(shown)


@pytest.mark.parametrize(
    "raw",
    [b"\x42\x7f", b"\x42", b"\x07", b"\xff" * 12, b"\x0d\x00", b"\x42\x04\x12\x02\x0a\x7f", PROTOBUF[:-1]],
    ids=["short body", "no length", "unknown wire type", "endless number", "short fixed", "short name", "cut off"],
)
def test_bytes_that_are_not_this_message_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="protobuf"):
        openapi_protobuf.filter_v2_protobuf(raw, {}, ())


@given(st.binary(max_size=64))
def test_any_bytes_are_filtered_or_refused(raw: bytes) -> None:
    try:
        openapi_protobuf.filter_v2_protobuf(raw, {}, ())
    except ValueError:
        return


# Version 3 -----------------------------------------------------------------------------------------------------------


def test_a_document_of_version_3_holds_the_visible_paths_and_what_they_refer_to() -> None:
    shown = openapi.filter_v3(V3, SERVED, SHOWN_GROUPS, KINDS)
    assert CONFIG_MAP in shown["paths"]
    assert not [path for path in shown["paths"] if "nodes/{name}/" in path or "token" in path]
    assert "io.k8s.api.core.v1.ConfigMap" in shown["components"]["schemas"]
    assert shown["components"]["securitySchemes"] == V3["components"]["securitySchemes"]
    assert not [group for group in HIDDEN_GROUPS if group in json.dumps(shown)]


@given(TENANTS)
def test_no_reference_of_version_3_leads_nowhere_and_filtering_twice_changes_nothing(tenant: Only) -> None:
    shown = openapi.filter_v3(V3, tenant, tenant.groups, frozenset())
    assert [one for one in references(shown) if not resolves(shown, one)] == []
    assert openapi.filter_v3(shown, tenant, tenant.groups, frozenset()) == shown


def test_the_index_names_what_is_visible() -> None:
    shown = openapi.index_v3(INDEX, SERVED, SHOWN_GROUPS, "seed", VERSIONS)["paths"]
    own = {f"apis/{group}/{version}" for group, version in VERSIONS if group}
    groups = {f"apis/{group}" for group in SHOWN_GROUPS if group}
    assert set(shown) == {"api", "api/v1", "apis", "version"} | groups | own


def test_an_address_in_the_index_is_the_hosts_with_another_hash() -> None:
    entry = openapi.index_v3(INDEX, SERVED, SHOWN_GROUPS, "seed")["paths"]["apis/apps/v1"]["serverRelativeURL"]
    base, _, digest = entry.partition("?hash=")
    assert base == "/openapi/v3/apis/apps/v1"
    assert len(digest) == 64
    assert digest not in json.dumps(INDEX)


def test_a_hash_of_the_index_changes_with_the_host_the_rules_and_the_groups() -> None:
    key = "apis/apps/v1"
    host = {"paths": {key: {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=OTHER"}}}
    made = [
        openapi.index_v3(INDEX, SERVED, SHOWN_GROUPS, "seed"),
        openapi.index_v3(INDEX, SERVED, SHOWN_GROUPS, "other seed"),
        openapi.index_v3(INDEX, SERVED, SHOWN_GROUPS - {"batch"}, "seed"),
        openapi.index_v3(host, SERVED, SHOWN_GROUPS, "seed"),
    ]
    assert len({index["paths"][key]["serverRelativeURL"] for index in made}) == len(made)
    assert openapi.index_v3(INDEX, SERVED, SHOWN_GROUPS, "seed") == made[0]


def test_the_index_hides_a_version_of_which_nothing_is_left() -> None:
    beta = "apis/networking.k8s.io/v1beta1"
    host = {"paths": {**INDEX["paths"], beta: {"serverRelativeURL": f"/openapi/v3/{beta}?hash=X"}}}
    assert beta not in openapi.index_v3(host, SERVED, SHOWN_GROUPS, "seed", VERSIONS)["paths"]


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("version", True),
        ("api", True),
        ("api/v1", True),
        ("apis/apps", True),
        ("apis/apps/v1", True),
        ("api/v2", False),
        ("apis/apps/v1beta1", False),
        ("apis/rbac.authorization.k8s.io/v1", True),
        ("apis/certificates.k8s.io/v1", False),
        ("apis/vcproxy.io/v1alpha1", False),
        ("openid/v1/jwks", False),
    ],
)
def test_a_document_of_version_3_is_shown_if_something_of_its_version_is_left(key: str, shown: bool) -> None:
    assert openapi.shown_v3(key, SERVED, SHOWN_GROUPS, VERSIONS) is shown


# What clients ask for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "accept", "answer"),
    [
        ("/openapi/v2", V2_PROTOBUF, V2_PROTOBUF_ANSWER),
        ("/openapi/v2", V2_PROTOBUF_ANSWER, V2_PROTOBUF_ANSWER),
        ("/openapi/v2", f"text/html, {V2_PROTOBUF}", V2_PROTOBUF_ANSWER),
        ("/openapi/v2", f"application/json, {V2_PROTOBUF}", "application/json"),
        ("/openapi/v2", f"application/json;q=0.5, {V2_PROTOBUF}", V2_PROTOBUF_ANSWER),
        ("/openapi/v2", "*/*", "application/json"),
        ("/openapi/v2", None, "application/json"),
        ("/openapi/v3", "text/html", "application/json"),
        ("/openapi/v3/apis/apps/v1", "application/json", "application/json"),
        ("/openapi/v3/apis/apps/v1", f"{V2_PROTOBUF.replace('v2', 'v3')}, application/*", "application/json"),
    ],
)
def test_a_document_is_answered_as_the_client_asked(path: str, accept: str | None, answer: str) -> None:
    assert openapi.negotiated(path, accept) == answer


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/openapi/v2", "text/html"),
        ("/openapi/v2", "application/json;q=0"),
        ("/openapi/v3/apis/apps/v1", V2_PROTOBUF),
        ("/openapi/v3/apis/apps/v1", V2_PROTOBUF_ANSWER.replace("v2", "v3")),
    ],
)
def test_what_cannot_be_produced_is_refused(path: str, accept: str) -> None:
    with pytest.raises(ApiError) as refused:
        openapi.negotiated(path, accept)
    assert refused.value.status.code == 406
