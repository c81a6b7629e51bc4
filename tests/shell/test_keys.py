"""Keys: read from a Secret's data, made, rotated, never shown."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vcproxy.access.keys import KEY_LIMIT, Keys, KeysError


def test_generated_keys_can_be_read_back() -> None:
    data = Keys.generate(now=0.0)
    keys = Keys.from_secret(data)
    public = keys.public_key(keys.active_signing)
    assert public is not None
    assert public.public_numbers() == keys.signing_key().public_key().public_numbers()
    sealing = keys.sealing_key(keys.active_sealing)
    assert sealing is not None
    assert len(sealing) == 32
    assert json.loads(data["signing.json"])["keys"][keys.active_signing]["created"] == "1970-01-01T00:00:00Z"


def test_a_rotation_keeps_older_keys_and_other_documents() -> None:
    first = Keys.generate() | {"ca.crt": b"certificate"}
    second = Keys.rotate(first)
    before, after = Keys.from_secret(first), Keys.from_secret(second)
    assert after.active_signing != before.active_signing
    assert after.public_key(before.active_signing) is not None
    assert after.sealing_key(before.active_sealing) is not None
    assert second["ca.crt"] == b"certificate"


def test_rotations_do_not_grow_without_bound() -> None:
    data = Keys.generate()
    for _ in range(KEY_LIMIT + 2):
        data = Keys.rotate(data)
    document = json.loads(data["signing.json"])
    assert len(document["keys"]) == KEY_LIMIT
    assert document["active"] in document["keys"]


def test_keys_do_not_show_in_repr() -> None:
    keys = Keys.from_secret(Keys.generate())
    sealing = keys.sealing_key(keys.active_sealing)
    assert sealing is not None
    assert base64.b64encode(sealing).decode() not in repr(keys)
    assert "PRIVATE" not in repr(keys)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("signing.json", b"{"),
        ("signing.json", b"[]"),
        ("signing.json", b'{"active": "a", "keys": {}}'),
        ("signing.json", b'{"active": "a", "keys": {"a": {"private": "x"}}}'),
        ("sealing.json", b'{"active": "a", "keys": {"a": "!"}}'),
        ("sealing.json", b'{"active": "a", "keys": {"a": "QUJD"}}'),
        ("sealing.json", b'{"active": "a", "keys": {"a": 1}}'),
    ],
)
def test_damaged_documents_are_refused_by_name(name: str, document: bytes) -> None:
    with pytest.raises(KeysError, match=name):
        Keys.from_secret(Keys.generate() | {name: document})


def test_a_missing_document_is_named() -> None:
    with pytest.raises(KeysError, match=r"signing\.json"):
        Keys.from_secret({})


def test_keys_on_another_curve_are_refused() -> None:
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    document = json.dumps({"active": "a", "keys": {"a": {"private": pem.decode()}}}).encode()
    with pytest.raises(KeysError, match="P-256"):
        Keys.from_secret(Keys.generate() | {"signing.json": document})
