"""Names of CAs as TLS compares them."""

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from vcproxy.access.clashes import Mark, canonical


def name(text: str, kind: _ASN1Type | None = None) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, kind)])


@pytest.mark.parametrize("other", ["acme clients", "ACME  Clients", " Acme\tClients "])
def test_case_and_blanks_tell_no_names_apart(other: str) -> None:
    assert canonical(name("Acme Clients")) == canonical(name(other))


def test_the_type_of_a_text_tells_no_names_apart() -> None:
    kinds = (_ASN1Type.UTF8String, _ASN1Type.PrintableString)
    first, second = (canonical(name("Acme Clients", kind)) for kind in kinds)
    assert first == second


@pytest.mark.parametrize("other", ["acme client", "acmeclients", "acme clients/x", "ácme clients"])
def test_other_names_are_other_names(other: str) -> None:
    assert canonical(name("Acme Clients")) != canonical(name(other))


def test_a_name_of_several_parts_is_not_one_of_a_part_with_their_text() -> None:
    parts = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text) for text in ("a", "b")])
    assert canonical(parts) != canonical(name("a'/2.5.4.3='b"))


def test_marks_of_one_name_and_other_keys_clash() -> None:
    marks = [Mark(canonical(name(text)), b"", key) for text, key in (("Acme", b"1"), ("acme ", b"2"))]
    assert marks[0].clashes(marks[1])
