"""Selectors: rewritten on the values that names stand in, never widened."""

import pytest

from vcproxy.core import kinds, selectors
from vcproxy.core.names import TenantId
from vcproxy.core.scope import Scope
from vcproxy.core.status import ApiError

SCOPE = Scope(TenantId("acme"))
PODS, NAMESPACES, EVENTS = kinds.TABLE["", "pods"], kinds.TABLE["", "namespaces"], kinds.TABLE["", "events"]
HIDDEN = "!vcproxy.io/hidden"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, HIDDEN),
        ("", HIDDEN),
        ("app=web", f"app=web,{HIDDEN}"),
        ("app in (b, a),tier!=db", f"app in (a,b),tier!=db,{HIDDEN}"),
        ("app notin (a),!gone,there", f"app notin (a),!gone,there,{HIDDEN}"),
        ("a.b/c==d , e > 5", f"a.b/c==d,e>5,{HIDDEN}"),
        ("kubernetes.io/metadata.name=web", f"kubernetes.io/metadata.name=web,{HIDDEN}"),
        ("vcproxy.io/tenant=globex", f"{selectors.NOTHING},{HIDDEN}"),
        ("vcproxy.io/hidden", f"{selectors.NOTHING},{HIDDEN}"),
        ("!vcproxy.io/tenant", HIDDEN),
        ("app=", f"app=,{HIDDEN}"),
    ],
)
def test_label_selectors_of_pods(given: str | None, expected: str) -> None:
    assert selectors.labels_up(given, PODS, SCOPE) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, f"vcproxy.io/tenant=acme,{HIDDEN}"),
        ("kubernetes.io/metadata.name=web", f"kubernetes.io/metadata.name=acme-web,vcproxy.io/tenant=acme,{HIDDEN}"),
        (
            "kubernetes.io/metadata.name in (a,b)",
            f"kubernetes.io/metadata.name in (acme-a,acme-b),vcproxy.io/tenant=acme,{HIDDEN}",
        ),
    ],
)
def test_label_selectors_of_namespaces_name_the_owner(given: str | None, expected: str) -> None:
    assert selectors.labels_up(given, NAMESPACES, SCOPE) == expected


@pytest.mark.parametrize("given", ["=a", "a=b=c", "a in b", "a,", ",a", "a b", "a in (", "é=1", "a!b", "(a)", "a=b;c"])
def test_a_label_selector_that_is_none_is_a_400(given: str) -> None:
    with pytest.raises(ApiError) as refusal:
        selectors.labels_up(given, PODS, SCOPE)
    assert refusal.value.status.code == 400


def test_a_long_selector_takes_no_long_time() -> None:
    with pytest.raises(ApiError):
        selectors.labels_up("a" * 8000 + "!" * 8000, PODS, SCOPE)
    assert selectors.labels_up(",".join(["a=b"] * 2000), PODS, SCOPE)


@pytest.mark.parametrize(
    ("row", "given", "expected"),
    [
        (PODS, None, ""),
        (PODS, "metadata.namespace=web", "metadata.namespace=acme-web"),
        (PODS, "metadata.namespace!=web,spec.nodeName==n1", "metadata.namespace!=acme-web,spec.nodeName=n1"),
        (PODS, "metadata.namespace=acme-web", "metadata.namespace=acme-acme-web"),
        (PODS, "metadata.name=a", "metadata.name=a"),
        (NAMESPACES, "metadata.name=web,status.phase=Active", "metadata.name=acme-web,status.phase=Active"),
        (EVENTS, "involvedObject.namespace=web", "involvedObject.namespace=acme-web"),
        (EVENTS, "involvedObject.name=a,involvedObject.kind=Pod", "involvedObject.name=a,involvedObject.kind=Pod"),
        (
            EVENTS,
            "involvedObject.name=web,involvedObject.namespace=,involvedObject.kind=Namespace",
            "involvedObject.name=acme-web,involvedObject.namespace=acme-default,involvedObject.kind=Namespace",
        ),
        (PODS, r"metadata.name=a\,b\=c", r"metadata.name=a\,b\=c"),
    ],
)
def test_field_selectors(row: kinds.Kind, given: str | None, expected: str) -> None:
    assert selectors.fields_up(given, row, SCOPE) == expected


@pytest.mark.parametrize("given", ["metadata.name", "=a", "a~b", "a=b=c", r"a=\x", "a=b\\"])
def test_a_field_selector_that_is_none_is_a_400(given: str) -> None:
    with pytest.raises(ApiError) as refusal:
        selectors.fields_up(given, PODS, SCOPE)
    assert refusal.value.status.code == 400
