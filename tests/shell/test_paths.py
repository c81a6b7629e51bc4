"""Paths from a client's certificate to a CA: each rule of RFC 5280 that somebody might count on."""

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.shell.authorities import CLIENT, DAY, SERVER, START, made, read, sent
from vcproxy.access import paths
from vcproxy.access.certificates import Pair

NOW = START.timestamp()
ROOT = made("root", ca=True)


def length(root: Pair, *shown: Pair, now: float = NOW) -> int | None:
    found = paths.path(read(*shown), read(root)[0], now)
    return None if found is None else len(found)


def below(issuer: Pair, **how: object) -> list[Pair]:
    """A client's certificate under one in between, which is as told."""
    between = made("between", issuer, **{"ca": True, **how})  # type: ignore[arg-type]
    return [made("ann", between, usage=CLIENT), between]


def test_directly_or_through_others_a_certificate_leads_to_its_ca() -> None:
    assert length(ROOT, made("ann", ROOT, usage=CLIENT)) == 2
    assert length(ROOT, *below(ROOT)) == 3
    first = made("first", ROOT, ca=True)
    assert length(ROOT, *below(first), first) == 4


def test_the_order_of_what_is_sent_between_does_not_matter_and_more_does_not_harm() -> None:
    first = made("first", ROOT, ca=True)
    leaf, between = below(first)
    assert length(ROOT, leaf, first, between, made("stranger", ca=True)) == 4


def test_a_ca_between_may_be_the_one_that_is_trusted() -> None:
    leaf, between = below(ROOT)
    assert length(between, leaf) == 2


def test_what_is_missing_between_is_guessed_by_nobody() -> None:
    leaf, _ = below(ROOT)
    assert length(ROOT, leaf) is None
    assert length(made("root", ca=True), leaf, _) is None


@pytest.mark.parametrize(
    "how",
    [
        {"ends": START - DAY / 2},
        {"begins": START + DAY / 2},
        {"usage": SERVER},
        {"ca": False},
    ],
)
def test_one_between_that_ended_or_may_not_sign_clients_leads_nowhere(how: dict[str, object]) -> None:
    assert length(ROOT, *below(ROOT, **how)) is None


def test_one_between_for_clients_leads_on() -> None:
    assert length(ROOT, *below(ROOT, usage=CLIENT)) == 3


def test_no_path_is_longer_than_its_cas_allow() -> None:
    short = made("short", ca=True, length=0)
    assert length(short, made("ann", short, usage=CLIENT)) == 2
    assert length(short, *below(short)) is None
    last = made("last", ROOT, ca=True, length=0)
    assert length(ROOT, *below(last), last) is None


def test_names_that_a_ca_may_not_sign_lead_nowhere() -> None:
    constraints = x509.NameConstraints([x509.DNSName("a.example")], None)
    between = made("between", ROOT, ca=True, more=[(constraints, True)])

    def named(name: str) -> int | None:
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        return length(ROOT, made("ann", between, usage=CLIENT, more=[(names, False)]), between)

    assert (named("x.a.example"), named("b.example")) == (3, None)


def test_a_ca_that_ended_signs_nothing_any_more() -> None:
    old = made("old", ca=True, ends=START + DAY / 2)
    shown = made("ann", old, usage=CLIENT)
    assert length(old, shown) == 2
    assert length(old, shown, now=NOW + 86400 / 2) is None
    assert length(old, *below(old), now=NOW + 86400 / 2) is None


def test_a_path_ends_with_whichever_of_its_certificates_ends_first() -> None:
    shown = below(ROOT, ends=START + DAY / 4)
    found = paths.path(read(*shown), read(ROOT)[0], NOW)
    assert found is not None
    assert paths.expires(found) == (START + DAY / 4).timestamp()


def test_a_client_is_no_ca() -> None:
    assert length(ROOT, made("eve", made("ann", ROOT, usage=CLIENT), usage=CLIENT)) is None
    ann = made("ann", ROOT, usage=CLIENT)
    assert length(ROOT, made("eve", ann, usage=CLIENT), ann) is None


def test_keys_that_only_the_simple_check_knows_are_good_directly() -> None:
    own = made("ann", ROOT, usage=CLIENT, key=ed25519.Ed25519PrivateKey.generate())
    assert length(ROOT, own) == 2


def test_what_stands_one_behind_the_other_is_cut_where_it_ends() -> None:
    shown = below(ROOT)
    assert paths.split(sent(*shown)) == read(*shown)
    assert paths.split(b"") == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + b"\x30",
        lambda text: text + b"\x30\x80\x00\x00",
        lambda text: b"\x30\xff" + b"\xff" * 200,
        lambda text: text * 4,
        lambda text: b"odd" + text,
    ],
)
def test_what_is_no_row_of_certificates_is_refused(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        paths.split(change(sent(*below(ROOT))))
