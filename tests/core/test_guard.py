"""What a tenant's object must not be, decided before anything of it is rewritten."""

import pytest

from vcproxy.core import guard, kinds
from vcproxy.core.names import TenantId
from vcproxy.core.request import parse
from vcproxy.core.status import ApiError

ACME = TenantId("acme")
NAMESPACES = kinds.TABLE[("", "namespaces")]
CLASSES = kinds.TABLE[("storage.k8s.io", "storageclasses")]


def refusal(metadata: dict[str, str], row: kinds.Kind = NAMESPACES, target: bytes = b"/api/v1/namespaces") -> ApiError:
    with pytest.raises(ApiError) as caught:
        guard.check({"metadata": metadata}, parse("POST", target), row, (row.group, row.kind), ACME)
    return caught.value


@pytest.mark.parametrize("name", ["UPPER", "-a", "a-", "a.b", "a_b", "v\u0441proxy", "a b", "a\n", "*"])
def test_a_namespace_is_a_label_and_the_refusal_names_it_as_the_tenant_did(name: str) -> None:
    for metadata in ({"name": name}, {"generateName": f"{name}."}):
        found = refusal(metadata).status
        assert found.code == 422
        assert f'Namespace "{next(iter(metadata.values()))}" is invalid: metadata.' in found.message
        assert "acme" not in found.message


def test_the_words_are_those_of_the_api_server() -> None:
    assert refusal({"name": "A"}).status.message == (
        'Namespace "A" is invalid: metadata.name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower '
        "case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  "
        "or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )


@pytest.mark.parametrize("name", ["Fast", "a..b", ".a", "a.", "a_b"])
def test_private_kinds_are_subdomains(name: str) -> None:
    assert refusal({"name": name}, CLASSES, b"/apis/storage.k8s.io/v1/storageclasses").status.code == 422


@pytest.mark.parametrize("metadata", [{"name": "web"}, {"name": "0"}, {"generateName": "web-"}, {}])
def test_good_names_pass(metadata: dict[str, str]) -> None:
    asked = parse("POST", b"/api/v1/namespaces")
    assert guard.check({"metadata": metadata}, asked, NAMESPACES, ("", "Namespace"), ACME)
