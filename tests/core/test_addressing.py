"""Tenants by path and by host name."""

import pytest

from vcproxy.core import addressing
from vcproxy.core.status import ApiError


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/api/v1/pods?watch=1", ("", b"/api/v1/pods?watch=1")),
        (b"/t/acme/api/v1/pods?watch=1", ("acme", b"/api/v1/pods?watch=1")),
        (b"/t/acme", ("acme", b"/")),
        (b"/t/acme/", ("acme", b"/")),
        (b"/t/acme?limit=1", ("acme", b"/?limit=1")),
        (b"/t/acme/t/globex/api", ("acme", b"/t/globex/api")),
        (b"/t/acme//api", ("acme", b"//api")),
        (b"/t/%61cme/api", ("%61cme", b"/api")),
        (b"/t/../api", ("..", b"/api")),
        (b"/t//api", ("/", b"/api")),
        (b"/t", ("", b"/t")),
        (b"/tt/acme/api", ("", b"/tt/acme/api")),
    ],
)
def test_a_path_names_a_tenant_by_its_first_two_parts_and_is_read_once(
    target: bytes, expected: tuple[str, bytes]
) -> None:
    assert addressing.split(target, "acme.example.com", "") == expected


@pytest.mark.parametrize(
    ("host", "tenant"),
    [
        ("acme.k8s.example.com", "acme"),
        ("ACME.K8S.example.com:8443", "acme"),
        ("acme.k8s.example.com.", "acme"),
        ("a.b.k8s.example.com", "a.b"),
        ("k8s.example.com", ""),
        ("xk8s.example.com", ""),
        ("acme.example.com", ""),
        ("", ""),
    ],
)
def test_a_host_name_under_the_domain_names_a_tenant(host: str, tenant: str) -> None:
    assert addressing.split(b"/api", host, "k8s.example.com") == (tenant, b"/api")


def test_path_and_host_name_agree_or_are_refused() -> None:
    assert addressing.split(b"/t/acme/api", "acme.x.org", "x.org") == ("acme", b"/api")
    with pytest.raises(ApiError) as caught:
        addressing.split(b"/t/globex/api", "acme.x.org", "x.org")
    assert caught.value.status.code == 400


@pytest.mark.parametrize(
    ("form", "server"),
    [
        ("plain", "https://proxy.example.com:8443"),
        ("path", "https://proxy.example.com:8443/t/acme"),
        ("name", "https://acme.x.org:8443"),
    ],
)
def test_the_address_of_a_kubeconfig_is_read_as_the_tenant_that_it_was_written_for(form: str, server: str) -> None:
    assert addressing.address("https://proxy.example.com:8443", "acme", form, "x.org") == server
    host, slash, path = server.removeprefix("https://").partition("/")
    named = addressing.split(f"/{path}{slash and '/'}api".encode(), host, "x.org")
    assert named == ("" if form == "plain" else "acme", b"/api")


def test_an_address_without_a_port_has_none_as_a_host_name_either() -> None:
    assert addressing.address("https://proxy.example.com", "acme", "name", "x.org") == "https://acme.x.org"


def test_there_are_no_host_names_without_a_domain() -> None:
    with pytest.raises(ValueError, match=r"listen\.domain"):
        addressing.address("https://proxy.example.com", "acme", "name", "")


@pytest.mark.parametrize(
    ("target", "before"), [(b"/api", ""), (b"/t/acme/api?x=/t/b", "/t/acme"), (b"/t/acme", "/t/acme")]
)
def test_what_stands_before_the_tenants_own_path(target: bytes, before: str) -> None:
    assert addressing.prefix(target) == before
