"""Sealed texts: open for whom and what they were made for, and not otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.access.keys import Keys
from vcproxy.access.sealing import SEALED_LIMIT, Sealer
from vcproxy.core.names import TenantId

DATA = Keys.generate()
SEALER = Sealer(Keys.from_secret(DATA))
ACME = TenantId("acme")
TEXT = SEALER.seal(ACME, "continue", b"secret position")


@given(st.binary(max_size=500), st.text(max_size=20))
def test_what_is_sealed_opens_again(data: bytes, purpose: str) -> None:
    text = SEALER.seal(ACME, purpose, data)
    assert SEALER.open(ACME, purpose, text) == data
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("aZ09-_=+. é"))
def test_a_changed_sign_closes_it(position: int, sign: str) -> None:
    changed = TEXT[:position] + sign + TEXT[position + 1 :]
    if changed != TEXT:
        with pytest.raises(ValueError, match="seal"):
            SEALER.open(ACME, "continue", changed)


@given(st.text(max_size=100))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="seal"):
        SEALER.open(ACME, "continue", text)


def test_it_opens_for_no_other_tenant_or_purpose() -> None:
    for tenant, purpose in (("globex", "continue"), ("acme", "watch"), ("acme", ""), ("acm", "e:continue")):
        with pytest.raises(ValueError, match="sealed here"):
            SEALER.open(TenantId(tenant), purpose, TEXT)


def test_texts_of_before_a_rotation_stay_open() -> None:
    rotated = Sealer(Keys.from_secret(Keys.rotate(DATA)))
    assert rotated.open(ACME, "continue", TEXT) == b"secret position"
    with pytest.raises(ValueError, match="sealed here"):
        SEALER.open(ACME, "continue", rotated.seal(ACME, "continue", b"x"))


def test_the_same_data_never_gives_the_same_text() -> None:
    assert SEALER.seal(ACME, "continue", b"x") != SEALER.seal(ACME, "continue", b"x")


def test_without_keys_nothing_is_sealed() -> None:
    with pytest.raises(ValueError, match="not loaded"):
        Sealer(lambda: None).seal(ACME, "continue", b"x")


def test_long_texts_are_refused_unread() -> None:
    with pytest.raises(ValueError, match="not a sealed text"):
        SEALER.open(ACME, "continue", "A" * (SEALED_LIMIT + 4))
