"""Claims become a user as Kubernetes' AuthenticationConfiguration says."""

from typing import Any

import pytest

from tests.shell.oidcs import entry
from vcproxy.access.mapping import Mapped, RefusedError
from vcproxy.access.trust import TrustError, parse


def mapped(claims: dict[str, Any], mappings: dict[str, Any] | None = None, **rules: Any) -> Mapped:
    made = entry(**rules)
    if mappings is not None:
        made["claimMappings"] = mappings
    return parse([made])[0].mapping.apply(claims)


def test_expressions_make_user_groups_uid_and_extra() -> None:
    mappings = {
        "username": {"expression": "claims.name + ':x'"},
        "groups": {"expression": "claims.roles.split(',')"},
        "uid": {"claim": "id"},
        "extra": [
            {"key": "example.com/team", "valueExpression": "claims.team"},
            {"key": "example.com/none", "valueExpression": "claims.?none.orValue('')"},
        ],
    }
    claims = {"name": "ann", "roles": "a,b", "id": "7", "team": ["blue"]}
    assert mapped(claims, mappings) == Mapped("ann:x", ("a", "b"), "7", {"example.com/team": ("blue",)})


@pytest.mark.parametrize(
    ("claims", "holds"),
    [({"hd": "example.com", "n": 2}, True), ({"hd": "other", "n": 2}, False), ({"hd": "example.com", "n": 0}, False)],
)
def test_claims_are_checked_by_value_and_by_expression(claims: dict[str, Any], *, holds: bool) -> None:
    rules = [{"claim": "hd", "requiredValue": "example.com"}, {"expression": "claims.n > 1", "message": "too few"}]
    if holds:
        assert mapped({"sub": "ann", **claims}, claimValidationRules=rules).user == "oidc:ann"
        return
    with pytest.raises(RefusedError):
        mapped({"sub": "ann", **claims}, claimValidationRules=rules)


def test_users_are_checked_after_mapping() -> None:
    rules = [{"expression": "!user.username.endsWith('root') && user.groups.all(g, g != 'banned')"}]
    assert mapped({"sub": "ann"}, userValidationRules=rules)
    for bad in ({"sub": "root"}, {"sub": "ann", "groups": ["banned"]}):
        with pytest.raises(RefusedError):
            mapped(bad, userValidationRules=rules)


def test_an_expression_that_fails_refuses() -> None:
    for claims in ({"sub": "ann"}, {"sub": "ann", "n": "text"}):
        with pytest.raises(RefusedError):
            mapped(claims, claimValidationRules=[{"expression": "claims.n > 1"}])


def test_endless_expressions_are_cut_short() -> None:
    rule = "claims.l.all(a, claims.l.all(b, claims.l.all(c, a + b + c > -1)))"
    with pytest.raises(RefusedError):
        mapped({"sub": "ann", "l": list(range(300))}, claimValidationRules=[{"expression": rule}])


def test_an_email_address_counts_only_verified() -> None:
    mappings = {"username": {"claim": "email", "prefix": ""}}
    assert mapped({"email": "a@x", "email_verified": True}, mappings).user == "a@x"
    assert mapped({"email": "a@x"}, mappings).user == "a@x"
    with pytest.raises(RefusedError):
        mapped({"email": "a@x", "email_verified": False}, mappings)


@pytest.mark.parametrize("name", ["system:admin", "system:node:a", "vcproxy:tenant:acme"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(RefusedError):
        mapped({"sub": name}, {"username": {"claim": "sub", "prefix": ""}})


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "\u00eb" * 600},
        {"sub": "ann", "groups": ["g"] * 1025},
        {"sub": "ann", "groups": [f"{number}{'g' * 1000}" for number in range(80)]},
        {"sub": "\ud800"},
    ],
)
def test_names_are_bounded_in_bytes_each_and_together(claims: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        mapped(claims, {"username": {"claim": "sub", "prefix": ""}, "groups": {"claim": "groups", "prefix": ""}})


def test_the_prefix_system_is_for_those_whose_configuration_gives_it() -> None:
    assert mapped({"sub": "x"}, {"username": {"claim": "sub", "prefix": "system:"}}).user == "system:x"
    with pytest.raises(RefusedError):
        mapped(
            {"sub": "x", "g": ["system:y"]},
            {"username": {"claim": "sub", "prefix": "system:"}, "groups": {"claim": "g", "prefix": ""}},
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"claimMappings": {}}, "claimMappings.username"),
        ({"claimMappings": {"username": {"claim": "sub"}}}, "even if empty, prefix"),
        ({"claimMappings": {"username": {"claim": "a", "expression": "'a'"}}}, "either claim"),
        ({"claimMappings": {"username": {"expression": "1 + 1"}}}, "not INT"),
        ({"claimMappings": {"username": {"expression": "claims."}}}, "no CEL expression"),
        ({"claimMappings": {"username": {"expression": "user.x"}}}, "undeclared"),
        ({"claimMappings": {"username": {"expression": "claims.email"}}}, "email_verified"),
        ({"claimValidationRules": [{"expression": "'text'"}]}, "not STRING"),
        ({"claimValidationRules": [{}]}, "either claim"),
        ({"claimValidationRules": "x"}, "list of 64"),
        ({"userValidationRules": [{"expression": "claims.x"}]}, "undeclared"),
        ({"issuer": {"url": "http://x", "audiences": ["a"]}}, "https URL"),
        ({"issuer": {"url": "https://x?y", "audiences": ["a"]}}, "https URL"),
        ({"issuer": {"url": "https://x"}}, "audiences"),
        ({"issuer": {"url": "https://x", "audiences": ["a", "b"]}}, "MatchAny"),
        ({"issuer": {"url": "https://x", "audiences": ["a"], "certificateAuthority": "x"}}, "PEM"),
        ({"issuer": {"url": "https://x", "audiences": ["a"], "discoveryURL": "https://x"}}, "another"),
        ({"issuer": {"url": "https://x", "audiences": ["a"], "jwksURL": "https://x"}}, "issuer.jwksURL: unknown"),
        ({"issuer": None}, "missing"),
        ({"rules": []}, "rules: unknown"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said(change: dict[str, Any], words: str) -> None:
    with pytest.raises(TrustError, match="jwt") as caught:
        parse([{**entry(), **change}])
    assert words in str(caught.value)


def test_issuers_are_counted_and_stand_once() -> None:
    with pytest.raises(TrustError, match="8 issuers at most"):
        parse([entry(f"https://x{index}") for index in range(9)])
    with pytest.raises(TrustError, match="stands more than once"):
        parse([entry(), entry()])
