"""The CAs of clients that a listener's TLS trusts: they only grow, for a running TLS context gives none back."""

import logging
import ssl
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from vcproxy.access.clashes import Mark, mark

log = logging.getLogger(__name__)

TRUST_LIMIT: Final = 16384
"""CAs that one listener trusts in its life: those that come later wait for its next start."""
REFUSED: Final = "TLS could not tell it from another that it trusts, or it trusts too many"


class Trust:
    """What a listener's TLS context takes of clients: nothing until there is a CA, then a certificate if they like.

    Never two CAs that TLS cannot tell apart: it may take the first of them for the other, and it forgets none.
    """

    def __init__(self) -> None:
        self._taken: dict[str, dict[Mark, None]] = {}
        self._certificates: set[bytes] = set()
        self._context: ssl.SSLContext | None = None

    def add(self, certificate: x509.Certificate) -> None:
        """Trust one more CA, where there is a context already: what was added before, `apply` is given."""
        der, own = certificate.public_bytes(serialization.Encoding.DER), mark(certificate)
        if self._context is None or der in self._certificates:
            return
        taken = self._taken.setdefault(own.subject, {})
        if any(own.clashes(other) for other in taken) or len(self._certificates) >= TRUST_LIMIT:
            name = certificate.subject.rfc4514_string()
            log.error(
                "the CA %s is not trusted, not before the next start: there are others like it, or too many", name
            )
            return
        taken[own] = None
        self._certificates.add(der)
        _accept(self._context, der)

    def apply(self, context: ssl.SSLContext, certificates: Iterable[x509.Certificate] = ()) -> ssl.SSLContext:
        """The context, from now on with these CAs and every one that is added."""
        self._context = context
        for certificate in certificates:
            self.add(certificate)
        return context


def _accept(context: ssl.SSLContext, der: bytes) -> None:
    """From now on every handshake is a whole one: a resumed one tells the client's certificate, but not its chain.

    Any certificate that a tenant names is the end of a path, not only one that signed itself, as for Kubernetes.
    """
    try:
        context.load_verify_locations(cadata=der)
    except ssl.SSLError as error:  # it was read before, by another library
        log.error("a tenant's CA cannot be trusted: %s", error)
        return
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
