"""Certificates: vcproxy's own CA, and the serving certificate that is made and renewed from it unless one is given.

ECDSA on P-256 throughout. A context is changed in place, so new connections see a new certificate without a restart.
"""

import contextlib
import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS: Final = 3650
SERVING_DAYS: Final = 90
RENEW_AT: Final = SERVING_DAYS / 3
"""Days that are left of a serving certificate when the next one is made."""

Clock = Callable[[], datetime.datetime]


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its key, PEM. The key never shows in `repr`."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"

    @property
    def pem(self) -> bytes:
        return self.certificate + b"\n" + self.key

    def expires(self) -> datetime.datetime:
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc


def make_ca(clock: Clock = now, name: str = "vcproxy", days: float = CA_DAYS) -> Pair:
    """A new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = builder_of(subject, subject, key, clock(), days)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return pair_of(builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256()), key)


def make_serving(ca: Pair, names: Sequence[str], clock: Clock = now) -> Pair:
    """A serving certificate for DNS names and IP addresses. Raises ValueError without any."""
    if not names:
        raise ValueError("a serving certificate needs a name")
    issuer, signer = x509.load_pem_x509_certificate(ca.certificate), signer_of(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = builder_of(subject, issuer.subject, key, clock(), SERVING_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return pair_of(builder.add_extension(authority, critical=False).sign(signer, hashes.SHA256()), key)


def builder_of(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, at: datetime.datetime, days: float
) -> x509.CertificateBuilder:
    """A certificate without extensions yet, good for so many days from `at`."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - datetime.timedelta(minutes=5))  # clocks differ
        .not_valid_after(at + datetime.timedelta(days=days))
    )


def _name(text: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    return x509.DNSName(text)


def signer_of(ca: Pair) -> ec.EllipticCurvePrivateKey:
    """The key with which a CA signs. Raises ValueError."""
    signer = serialization.load_pem_private_key(ca.key, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("the CA's key is not an ECDSA key")
    return signer


def pair_of(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    """Both as PEM."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)


class CertificateSource:
    """The serving certificate: of files, read again when they change, or made from the CA and renewed in time.

    `refresh` is called now and then; it changes the one context that `context` gives.
    """

    def __init__(self, load: Callable[[], Pair]) -> None:
        self._load = load
        self._current: Pair | None = None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.set_alpn_protocols(["http/1.1"])

    def context(self) -> ssl.SSLContext:
        """The context to listen with. Raises OSError or ValueError when there is no certificate to be had."""
        self.refresh()
        return self._context

    def refresh(self) -> bool:
        """Take up a new certificate if there is one; says whether there was. Raises OSError or ValueError."""
        pair = self._load()
        if pair == self._current:
            return False
        with tempfile.NamedTemporaryFile() as file:  # the ssl module reads key pairs from files only
            file.write(pair.pem)
            file.flush()
            self._context.load_cert_chain(file.name)
        self._current = pair
        return True


def of_files(certificate: Path, key: Path) -> CertificateSource:
    """A source that follows two files."""
    return CertificateSource(lambda: Pair(certificate.read_bytes(), key.read_bytes()))


def of_ca(ca: Callable[[], Pair], names: Sequence[str], clock: Clock = now) -> CertificateSource:
    """A source that makes its own certificates; `ca` is asked each time."""
    made: list[tuple[Pair, Pair]] = []

    def load() -> Pair:
        authority = ca()
        left = (made[0][1].expires() - clock()).days if made else -1.0
        if not made or made[0][0] != authority or left < RENEW_AT:
            made[:] = [(authority, make_serving(authority, names, clock))]
        return made[0][1]

    return CertificateSource(load)
