"""Tokens: what is issued can be read, and nothing else can."""

import base64
import json
import string
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.access.keys import Keys
from vcproxy.access.records import LONGEST_LIFE
from vcproxy.access.tokens import TOKEN_LIMIT, InvalidTokenError, Issuer, verify
from vcproxy.core.names import TenantId

NOW = 1_700_000_000.25
KEYS = Keys.from_secret(Keys.generate())
ACME = TenantId("acme")
TOKEN, RECORD = Issuer(KEYS).issue(ACME, "uid-1", "ann", ["tenant:admin", "dev"], 3600, NOW)


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def good_claims() -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(TOKEN.split(".")[1] + "=="))
    return claims


def signed(payload: bytes, headers: dict[str, Any] | None = None, keys: Keys = KEYS) -> str:
    return jwt.PyJWS().encode(payload, keys.signing_key(), "ES256", {"kid": keys.active_signing, **(headers or {})})


def refused(token: str) -> str:
    with pytest.raises(InvalidTokenError) as caught:
        verify(token, KEYS)
    return str(caught.value)


def test_an_issued_token_says_who_it_is_for() -> None:
    found = verify(TOKEN, KEYS)
    assert (found.tenant, found.tenant_uid, found.user, found.groups) == (ACME, "uid-1", "ann", ("tenant:admin", "dev"))
    assert (found.id, found.issued, found.expires) == (RECORD.id, RECORD.issued, RECORD.expires)
    assert found.expires == 1_700_003_600
    assert found.not_before == 1_699_999_940
    assert jwt.get_unverified_header(TOKEN) == {"alg": "ES256", "kid": KEYS.active_signing, "typ": "JWT"}


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(string.ascii_letters + string.digits + "-_.=+/ \n\x00é"))
def test_no_changed_sign_leaves_a_token_good(position: int, sign: str) -> None:
    changed = TOKEN[:position] + sign + TOKEN[position + 1 :]
    if changed != TOKEN:
        refused(changed)


@given(st.text(max_size=200))
def test_no_text_that_is_not_a_token_does_more_than_be_refused(text: str) -> None:
    refused(text)
    refused(f"{text}.{text}.{text}")


@given(st.binary(max_size=60))
def test_a_good_signature_over_anything_else_is_refused(payload: bytes) -> None:
    refused(signed(payload))


@pytest.mark.parametrize("name", sorted(good_claims()))
def test_every_claim_is_required(name: str) -> None:
    claims = good_claims()
    del claims[name]
    refused(signed(json.dumps(claims).encode()))


@pytest.mark.parametrize("name", sorted(good_claims()))
@pytest.mark.parametrize("value", [None, True, {}, [1], -1, "", [""], 1e300])
def test_claims_of_another_form_are_refused(name: str, value: Any) -> None:
    refused(signed(json.dumps({**good_claims(), name: value}).encode()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "other"),
        ("aud", "kubernetes"),
        ("aud", ["vcproxy", "kubernetes"]),
        ("tenant", "a-b"),
        ("tenant", "Acme"),
        ("tenant", "acme\n"),
    ],
)
def test_tokens_for_others_are_refused(name: str, value: Any) -> None:
    refused(signed(json.dumps({**good_claims(), name: value}).encode()))


def test_claims_that_stand_twice_are_refused() -> None:
    text = json.dumps(good_claims())
    assert "each key once" in refused(signed((text[:-1] + ',"sub":"root"}').encode()))
    assert "each key once" in refused(signed((text[:-1] + ',"x":{"a":1,"a":2}}').encode()))


def test_numbers_that_are_not_json_are_refused() -> None:
    refused(signed(json.dumps({**good_claims(), "exp": float("inf")}).encode()))
    refused(signed(json.dumps({**good_claims(), "exp": float("nan")}).encode()))


def test_headers_that_stand_twice_are_refused() -> None:
    _, payload, signature = TOKEN.split(".")
    header = f'{{"alg":"none","alg":"ES256","kid":"{KEYS.active_signing}"}}'.encode()
    assert "each key once" in refused(f"{b64(header)}.{payload}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "HS256", "RS256", "ES384", "", None, 1])
def test_no_algorithm_but_es256_is_tried(algorithm: Any) -> None:
    _, payload, signature = TOKEN.split(".")
    header = json.dumps({"alg": algorithm, "typ": "JWT", "kid": KEYS.active_signing}).encode()
    assert refused(f"{b64(header)}.{payload}.{signature}") == "the header is not one of ours"
    assert refused(f"{b64(header)}.{payload}.") == "the header is not one of ours"


def test_the_public_key_does_not_serve_as_an_hmac_secret() -> None:
    public = KEYS.signing_key().public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    import hashlib
    import hmac

    header = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": KEYS.active_signing}).encode())
    payload = TOKEN.split(".")[1]
    mac = hmac.new(pem, f"{header}.{payload}".encode(), hashlib.sha256).digest()
    refused(f"{header}.{payload}.{b64(mac)}")


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_keys_that_a_header_brings_along_are_never_used(name: str) -> None:
    mine = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(mine.public_key(), as_dict=True)
    value = {"jwk": jwk, "x5c": ["AAAA"]}.get(name, "https://attacker.example/keys")
    payload = json.dumps(good_claims()).encode()
    forged = jwt.PyJWS().encode(payload, mine, "ES256", {"kid": KEYS.active_signing, name: value})
    assert refused(forged) == "the signature is not good"
    assert verify(signed(payload, {name: value}), KEYS).user == "ann"


@pytest.mark.parametrize("headers", [{"crit": ["exp"]}, {"b64": False}, {"typ": "at+jwt"}, {"typ": "JWE"}])
def test_headers_that_change_the_meaning_are_refused(headers: dict[str, Any]) -> None:
    header = {"alg": "ES256", "kid": KEYS.active_signing, **headers}
    _, payload, signature = TOKEN.split(".")
    assert refused(f"{b64(json.dumps(header).encode())}.{payload}.{signature}") == "the header is not one of ours"


@pytest.mark.parametrize("kid", ["other", "", "../../etc/passwd", None, 1, ["a"]])
def test_unknown_key_ids_are_refused(kid: Any) -> None:
    _, payload, signature = TOKEN.split(".")
    header = b64(json.dumps({"alg": "ES256", "typ": "JWT", "kid": kid}).encode())
    assert refused(f"{header}.{payload}.{signature}") == "the key is not known"


def test_a_token_of_another_installation_is_refused() -> None:
    foreign = Keys.from_secret(Keys.generate())
    token, _ = Issuer(foreign).issue(ACME, "uid-1", "ann", ["tenant:admin"], 3600, NOW)
    assert refused(token) == "the key is not known"


def test_an_empty_signature_is_refused() -> None:
    refused(TOKEN.rsplit(".", 1)[0] + ".")
    refused(TOKEN.rsplit(".", 1)[0] + "." + b64(bytes(64)))


def test_deep_nesting_and_long_tokens_are_refused() -> None:
    refused(signed(b"[" * 8000 + b"]" * 8000)[:TOKEN_LIMIT])
    refused(signed(b'{"a":' * 2000 + b"1" + b"}" * 2000))
    refused("a" * (TOKEN_LIMIT + 1))


def test_tokens_of_a_rotated_key_stay_good() -> None:
    data = Keys.generate()
    before = Keys.from_secret(data)
    token, _ = Issuer(before).issue(ACME, "uid-1", "ann", [], 3600, NOW)
    after = Keys.from_secret(Keys.rotate(data))
    assert verify(token, after).user == "ann"
    new, _ = Issuer(after).issue(ACME, "uid-1", "ann", [], 3600, NOW)
    with pytest.raises(InvalidTokenError):
        verify(new, before)


@given(
    st.from_regex(r"\A[a-z][a-z0-9]{1,14}\Z"),
    st.text(min_size=1, max_size=50).filter(lambda text: text.isprintable()),
    st.lists(st.text(min_size=1, max_size=20), max_size=5),
    st.floats(1, LONGEST_LIFE),
    st.floats(1e9, 4e9),
)
def test_what_is_issued_is_what_is_read(tenant: str, user: str, groups: list[str], life: float, now: float) -> None:
    token, record = Issuer(KEYS).issue(TenantId(tenant), "uid", user, groups, life, now)
    found = verify(token, KEYS)
    assert (found.tenant, found.user, found.groups) == (tenant, user, tuple(groups))
    assert (found.issued, found.expires, found.id) == (record.issued, record.expires, record.id)


@pytest.mark.parametrize(
    ("user", "groups", "life"),
    [("", [], 60), ("ann", [""], 60), ("ann", [], 0), ("ann", [], LONGEST_LIFE + 1), ("ann", ["g"] * 300, 60)],
)
def test_orders_out_of_bounds_are_refused(user: str, groups: list[str], life: float) -> None:
    with pytest.raises(ValueError, match="token"):
        Issuer(KEYS).issue(ACME, "uid-1", user, groups, life, NOW)
