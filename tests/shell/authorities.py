"""Certificates as tests need them, good and odd ones, made at run time."""

import datetime
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vcproxy.access.certificates import Pair

CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
START = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


def made(
    name: str,
    issuer: Pair | None = None,
    *,
    ca: bool = False,
    length: int | None = None,
    usage: Sequence[x509.ObjectIdentifier] = (),
    groups: Sequence[str] = (),
    begins: datetime.datetime = START - DAY,
    ends: datetime.datetime = START + DAY,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key: Any = None,
    identifier: x509.SubjectKeyIdentifier | None = None,
) -> Pair:
    """A certificate of `issuer`, or one that signs itself. `length`: of its path; `more`: (extension, critical).

    `identifier` is a CA's key identifier where that is not the one of its key; of no bytes: it has none.
    """
    own = key or ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    subject = x509.Name([*parts, *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups)])
    above = x509.load_pem_x509_certificate(issuer.certificate).subject if issuer else subject
    signer: Any = serialization.load_pem_private_key(issuer.key, None) if issuer else own
    builder = x509.CertificateBuilder(above, subject, own.public_key(), x509.random_serial_number(), begins, ends)
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(signed_by, critical=False)
    if ca:
        signs = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(True, length), critical=True)
        builder = builder.add_extension(signs, critical=True)
        found = identifier or x509.SubjectKeyIdentifier.from_public_key(own.public_key())
        builder = builder.add_extension(found, critical=False) if found.digest else builder
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    signed = builder.sign(signer, hashes.SHA256())
    return Pair(signed.public_bytes(pem), own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def read(*pairs: Pair) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificate(one.certificate) for one in pairs)


def sent(*pairs: Pair) -> bytes:
    """What TLS hands on of a client that sends these."""
    return b"".join(one.public_bytes(serialization.Encoding.DER) for one in read(*pairs))
