"""What a client showed of itself in its TLS handshake."""

import ssl
from typing import Any, Final

DER: Final = 2
"""`_ssl.ENCODING_DER`: of the module behind `ssl`, which until Python 3.12 alone knows the certificates of a chain."""


def presented(tls: ssl.SSLObject) -> bytes:
    """The client's certificate and whatever others it sent after it, DER, one behind the other; empty for none.

    Of a handshake that resumes an older one TLS knows the first alone (access.listening.Trust has none resumed).
    """
    own = tls.getpeercert(binary_form=True)
    return b"".join([own, *(one for one in _chain(tls) if one != own)]) if own else b""


def _chain(tls: Any) -> list[bytes]:
    """What was sent, in order; Python 3.13 has a name for it that is not private."""
    if hasattr(tls, "get_unverified_chain"):
        return [bytes(one) for one in tls.get_unverified_chain()]
    return [one.public_bytes(DER) for one in tls._sslobj.get_unverified_chain() or ()]
