"""What of a client's handshake is handed on, whichever Python tells it."""

import ssl
from typing import Any, cast

import pytest

from vcproxy.edge.presented import presented


class Certificate:
    """As the module behind `ssl` gives it."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def public_bytes(self, kind: int) -> bytes:
        assert kind == 2
        return self._text


class Inner:
    def __init__(self, chain: list[Certificate] | None) -> None:
        self._chain = chain

    def get_unverified_chain(self) -> list[Certificate] | None:
        return self._chain


class Until312:
    """An SSLObject of Python 3.11 and 3.12."""

    def __init__(self, own: bytes | None, chain: list[bytes] | None) -> None:
        self._own = own
        self._sslobj = Inner(None if chain is None else [Certificate(one) for one in chain])

    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        assert binary_form
        return self._own


class Since313(Until312):
    """One of Python 3.13, which gives bytes under a name of its own."""

    def __init__(self, own: bytes | None, chain: list[bytes] | None) -> None:
        super().__init__(own, None)
        self._bytes = chain or []

    def get_unverified_chain(self) -> list[bytes]:
        return self._bytes


@pytest.mark.parametrize("kind", [Until312, Since313])
@pytest.mark.parametrize(
    ("own", "chain", "told"),
    [
        (None, None, b""),
        (b"leaf", None, b"leaf"),
        (b"leaf", [b"leaf"], b"leaf"),
        (b"leaf", [b"leaf", b"between", b"root"], b"leafbetweenroot"),
    ],
)
def test_a_clients_own_certificate_comes_first_and_once(
    kind: Any, own: bytes | None, chain: list[bytes] | None, told: bytes
) -> None:
    assert presented(cast(ssl.SSLObject, kind(own, chain))) == told
