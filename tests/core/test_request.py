"""Parsing of request lines: what is canonical becomes one value, everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.core.request import ApiRequest, parse, render_query, resource_path
from vcproxy.core.status import ApiError

CASES = [
    ("GET", b"/api/v1/pods", ("list", "", "v1", "pods", "", "", "")),
    ("GET", b"/api/v1/pods?watch=1", ("watch", "", "v1", "pods", "", "", "")),
    ("GET", b"/api/v1/pods?watch=True", ("watch", "", "v1", "pods", "", "", "")),
    ("GET", b"/api/v1/pods?watch=0", ("list", "", "v1", "pods", "", "", "")),
    ("GET", b"/api/v1/pods?watch=false", ("list", "", "v1", "pods", "", "", "")),
    ("GET", b"/api/v1/watch/pods", ("watch", "", "v1", "pods", "", "", "")),
    ("GET", b"/api/v1/watch/namespaces/web/pods/a", ("watch", "", "v1", "pods", "", "web", "a")),
    ("GET", b"/api/v1/namespaces", ("list", "", "v1", "namespaces", "", "", "")),
    ("GET", b"/api/v1/namespaces/web", ("get", "", "v1", "namespaces", "", "", "web")),
    ("PUT", b"/api/v1/namespaces/web/finalize", ("update", "", "v1", "namespaces", "finalize", "", "web")),
    ("GET", b"/api/v1/namespaces/web/pods/a", ("get", "", "v1", "pods", "", "web", "a")),
    ("GET", b"/api/v1/namespaces/web/pods/a?watch=1", ("get", "", "v1", "pods", "", "web", "a")),
    ("GET", b"/api/v1/namespaces/web/pods/a/log", ("get", "", "v1", "pods", "log", "web", "a")),
    ("GET", b"/api/v1/namespaces/web/pods/a/proxy/x/y", ("get", "", "v1", "pods", "proxy", "web", "a")),
    ("POST", b"/apis/apps/v1/namespaces/web/deployments", ("create", "apps", "v1", "deployments", "", "web", "")),
    ("PATCH", b"/apis/apps/v1/namespaces/web/deployments/a", ("patch", "apps", "v1", "deployments", "", "web", "a")),
    (
        "DELETE",
        b"/apis/apps/v1/namespaces/web/deployments",
        ("deletecollection", "apps", "v1", "deployments", "", "web", ""),
    ),
    ("DELETE", b"/api/v1/namespaces/web/pods/a/", ("delete", "", "v1", "pods", "", "web", "a")),
]


@pytest.mark.parametrize(("method", "target", "expected"), CASES, ids=[case[1].decode() for case in CASES])
def test_a_resource_path_is_read_as_the_api_server_reads_it(
    method: str, target: bytes, expected: tuple[str, ...]
) -> None:
    got = parse(method, target)
    assert (got.verb, got.group, got.version, got.resource, got.subresource, got.namespace, got.name) == expected


@pytest.mark.parametrize("target", [b"/", b"/api", b"/api/v1", b"/apis", b"/apis/apps", b"/apis/apps/v1", b"/version"])
def test_other_paths_name_no_resource(target: bytes) -> None:
    assert not parse("GET", target).is_resource


@pytest.mark.parametrize(
    "target",
    [
        b"/api/v1/namespaces/../secrets",
        b"/api/v1/./pods",
        b"/api/v1//pods",
        b"//api/v1/pods",
        b"/api/v1/namespaces/a%2fb/pods",
        b"/api/v1/namespaces/a%2Fb/pods",
        b"/api/v1/namespaces/a%5cb/pods",
        b"/api/v1/namespaces/%2e%2e/pods",
        b"/api/v1/namespaces/%252e/pods",
        b"/api/v1/namespaces/a%00/pods",
        b"/api/v1/namespaces/a\x00/pods",
        b"/api/v1/namespaces/a%0a/pods",
        b"/api/v1/namespaces/%ff/pods",
        b"/api/v1/namespaces/\xff/pods",
        b"/api/v1/namespaces/a;b/pods",
        b"/api/v1/pods%",
        b"/api/v1/pods%zz",
        b"/api/v1/pods?a=%zz",
        b"/api/v1/pods?a=1;b=2",
        b"/api/v1/pods?watch=1&watch=0",
        b"/api/v1/pods?labelSelector=a&labelSelector=b",
        b"/api/v1/pods?a=%ff",
        b"https://host/api/v1/pods",
        b"*",
        b"",
        b"/" + b"a" * 5000,
    ],
)
def test_what_is_not_canonical_is_a_400(target: bytes) -> None:
    with pytest.raises(ApiError) as refusal:
        parse("GET", target)
    assert refusal.value.status.code == 400


def test_a_refusal_echoes_nothing_of_the_input() -> None:
    with pytest.raises(ApiError) as refusal:
        parse("GET", b"/api/v1/../s3cret")
    assert "s3cret" not in refusal.value.status.message


@given(st.binary(max_size=80))
def test_any_bytes_are_a_request_or_a_400(target: bytes) -> None:
    try:
        code = 200 if isinstance(parse("GET", target), ApiRequest) else 0
    except ApiError as refusal:
        code = refusal.status.code
    assert code in (200, 400)


names = st.from_regex(r"[a-z0-9]([-a-z0-9.:]{0,20}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name not in ("watch",)
)


@given(names, names)
def test_a_rendered_path_is_read_back(namespace: str, name: str) -> None:
    got = parse("GET", resource_path("apps", "v1", "deployments", namespace, name, "scale").encode())
    assert (got.group, got.namespace, got.name, got.subresource) == ("apps", namespace, name, "scale")


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=8)), unique_by=lambda pair: pair[0], max_size=5
    )
)
def test_a_rendered_query_is_read_back(pairs: list[tuple[str, str]]) -> None:
    try:
        target = ("/api/v1/pods" + render_query(pairs)).encode()
    except UnicodeEncodeError:
        return
    assert list(parse("GET", target).query) == pairs
