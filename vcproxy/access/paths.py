"""Whether what a client showed leads to a certificate authority: a path of certificates (RFC 5280 6).

A certificate that a CA signed directly needs no more than that. With certificates in between the field's own verifier
decides: who may sign (basic constraints, key usage), how long the path may be, whom names are permitted to, and what it
may be used for. It is strict where certificates are odd; nothing here makes up for that.
"""

import datetime
from collections.abc import Sequence
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

SENT_LIMIT: Final = 6
"""Certificates that a client may send, its own among them."""
DEPTH: Final = 4
"""Certificates between a client's and the CA."""
_ANY: Final = verification.Criticality.AGNOSTIC
_AUTHORITIES: Final = (
    verification.ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.AuthorityKeyIdentifier, _ANY, None)
    .may_be_present(x509.SubjectKeyIdentifier, _ANY, None)
)
_CLIENTS: Final = (
    verification.ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, _ANY, None)  # users have none: their name is the subject
    .may_be_present(x509.AuthorityKeyIdentifier, _ANY, None)
)

Extension = TypeVar("Extension", bound=x509.ExtensionType)
Path = tuple[x509.Certificate, ...]
"""A client's certificate first, a CA last."""


def split(sent: bytes) -> Path:
    """Certificates of DER texts that stand one behind the other. Raises ValueError for what is none, or too many."""
    found: list[x509.Certificate] = []
    while sent:
        size = _size(sent)
        if len(found) == SENT_LIMIT or size > len(sent):
            raise ValueError(f"not {SENT_LIMIT} certificates at most")
        found.append(x509.load_der_x509_certificate(sent[:size]))
        sent = sent[size:]
    return tuple(found)


def _size(sent: bytes) -> int:
    """How many bytes the first value takes (X.690 8.1.3: a length stands in itself, or says how many bytes it has)."""
    first = sent[1] if len(sent) > 1 else 0
    if first < 0x80:
        return 2 + first
    return 2 + (first & 0x7F) + int.from_bytes(sent[2 : 2 + (first & 0x7F)], "big")


def path(sent: Path, authority: x509.Certificate, now: float) -> Path | None:
    """The way from the client's certificate to a CA that is valid now; None where there is none."""
    if not sent or not is_valid(authority, now):
        return None
    if _issued(sent[0], authority):
        return sent[0], authority
    return _verified(sent, authority, now) if len(sent) > 1 else None


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _verified(sent: Path, authority: x509.Certificate, now: float) -> Path | None:
    builder = verification.PolicyBuilder().store(verification.Store([authority])).max_chain_depth(DEPTH)
    builder = builder.extension_policies(ca_policy=_AUTHORITIES, ee_policy=_CLIENTS)
    verifier = builder.time(datetime.datetime.fromtimestamp(now, datetime.UTC)).build_client_verifier()
    try:
        return tuple(verifier.verify(sent[0], list(sent[1:])).chain)
    except (verification.VerificationError, ValueError):
        return None


def is_valid(certificate: x509.Certificate, now: float) -> bool:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    return certificate.not_valid_before_utc <= moment < certificate.not_valid_after_utc


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others. Raises ValueError for an odd one."""
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    return constraints is not None and constraints.ca and (usage is None or usage.key_cert_sign)


def is_for_clients(certificate: x509.Certificate) -> bool:
    """Whether it says that it is meant for clients (RFC 5280 4.2.1.12). Raises ValueError for an odd one."""
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    return usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None


def expires(path: Sequence[x509.Certificate]) -> float:
    """When the first of them ends, in seconds since the epoch."""
    return min(one.not_valid_after_utc.timestamp() for one in path)
