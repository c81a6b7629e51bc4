"""Who is calling, by a client certificate of a tenant's CA: its common name is the user, its organizations the groups.

TLS proves that the client holds the key and that the certificate comes from a CA that was trusted once
(access.listening). Which CAs count, for which tenant, and whether the certificate counts now, is decided here alone: it
must lead to a CA that its tenant names or that vcproxy keeps for it now, be valid now, be meant for clients and not be
revoked. Names are read as Kubernetes does (kubernetes.io: X.509).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from vcproxy.access import paths
from vcproxy.access.authenticator import Credential, Revocations, Tenants
from vcproxy.access.clashes import Claim, Claims, canonical, mark
from vcproxy.access.mapping import Mapped, check_size
from vcproxy.access.paths import Path
from vcproxy.access.remembering import ROOM, Remembered
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.names import TenantId

log = logging.getLogger(__name__)

CACHE_LIMIT: Final = 4096
CA_LIMIT: Final = 8
"""CAs that a tenant names."""
KEPT_SECONDS: Final = 300.0
CERTIFICATE_LIMIT: Final = 32768
"""Bytes of all certificates that a client sends."""


class Kept(msgspec.Struct, frozen=True):
    """The CAs that vcproxy keeps for a tenant, as one PEM text, and the uid of that tenant."""

    bundle: str
    tenant_uid: str


class _Authority(msgspec.Struct, frozen=True):
    certificate: x509.Certificate
    claim: Claim
    tenant_uid: str = ""
    """Of the one tenant for whom it counts; "" where it was named, and so goes with its tenant by itself."""


class _Known(msgspec.Struct, frozen=True):
    caller: Caller
    until: float
    serial: str
    issued: float


_Shown = tuple[str, bytes]
"""The tenant that the address names, and the certificates: whatever token comes with them is not looked at."""


class CertificateAuthenticator:
    """Tells callers by certificates. `trust` is told of each new CA."""

    def __init__(self, tenants: Tenants, trust: Callable[[x509.Certificate], None], revocations: Revocations) -> None:
        self._tenants = tenants
        self._trust = trust
        self._revocations = revocations
        self._authorities: dict[TenantId, tuple[_Authority, ...]] = {}
        self._claims = Claims(self._created)
        """By the name of a CA: whose it is. There may be thousands of CAs, and strangers choose what they show."""
        self._known = Remembered[_Shown, _Known](CACHE_LIMIT, ROOM)

    def update(self, tenant: TenantId, bundle: str, kept: Kept | None = None) -> None:
        """Take as all CAs of a tenant those that it names, PEM, and those that vcproxy keeps for it.

        Raises ValueError for what is none; then those that it names count for nothing.
        """
        self._forget(tenant)
        found = _authorities(tenant, kept.bundle, kept) if kept is not None else []
        try:
            found += _authorities(tenant, bundle)
        finally:
            self._take(tenant, found)

    def _take(self, tenant: TenantId, found: Sequence[_Authority]) -> None:
        if found:
            self._authorities[tenant] = tuple(found)
            self._known.clear()
        for one in found:
            self._claims.take(one.claim)
        for one in found:
            self._trust(one.certificate)

    def _forget(self, tenant: TenantId) -> None:
        for one in self._authorities.pop(tenant, ()):
            self._known.clear()
            self._claims.forget(one.claim)

    def authorities(self) -> list[x509.Certificate]:
        """The CAs that count, those that come before others first."""
        found = [one for every in self._authorities.values() for one in every if not self._claims.loses(one.claim)]
        return [one.certificate for one in sorted(found, key=lambda one: self._claims.order(one.claim))]

    def clashing(self, tenant: TenantId, bundle: str) -> list[str]:
        """Which CAs of a bundle of a tenant do not count, for TLS cannot tell them from others: their place and name.

        Raises ValueError as `update` does.
        """
        return [
            f"certificate {at} ({one.certificate.subject.rfc4514_string()})"
            for at, one in enumerate(_authorities(tenant, bundle), 1)
            if self._claims.loses(one.claim)
        ]

    def _created(self, tenant: TenantId) -> float:
        view = self._tenants.tenant(tenant)
        return view.created if view is not None else float("inf")

    def recall(self, credential: Credential, now: float) -> Caller | None:
        """The caller of a certificate that counts. Raises ApiError 401 for one that was revoked since."""
        known = self._known.get(_shown(credential)) if credential.certificate else None
        if known is None or now >= known.until:
            return None
        self._refuse_revoked(known)
        return known.caller

    async def authenticate(self, credential: Credential, now: float) -> Caller | None:
        """The caller; None without a certificate, or where it leads to no tenant's CA. Raises ApiError 401."""
        if not credential.certificate or len(credential.certificate) > CERTIFICATE_LIMIT:
            return None
        try:
            sent = paths.split(credential.certificate)
            tenants = self._of(credential, sent)
            found = {tenant: path for tenant in tenants if (path := self._path(sent, tenant, now))}
            if not found:
                return None
            known = self._seen(found, now)
        except ValueError as error:
            log.debug("a client certificate was refused: %s", error)
            raise status.unauthorized() from None
        self._refuse_revoked(known)
        self._known.keep(_shown(credential), known)
        return known.caller

    def reconsider(self) -> None:
        """Nothing is remembered as bad."""

    def _refuse_revoked(self, known: _Known) -> None:
        caller = known.caller
        if self._revocations.refuses(caller.tenant, known.serial, caller.user, known.issued):
            raise status.unauthorized()

    def _of(self, credential: Credential, sent: Path) -> list[TenantId]:
        """Tenants with a CA of a name that is said to have signed one of these."""
        named = (tenant for one in sent for tenant in self._claims.tenants(canonical(one.issuer)))
        return [tenant for tenant in dict.fromkeys(named) if credential.tenant in ("", tenant)]

    def _path(self, sent: Path, tenant: TenantId, now: float) -> Path | None:
        view = self._tenants.tenant(tenant)
        for one in self._authorities[tenant]:
            if view is not None and one.tenant_uid in ("", view.uid) and not self._claims.loses(one.claim):
                found = paths.path(sent, one.certificate, now)
                if found is not None:
                    return found
        return None

    def _seen(self, found: dict[TenantId, Path], now: float) -> _Known:
        """What is known of the certificate. Raises ValueError where it makes no caller."""
        (tenant, path), *more = found.items()
        view, certificate = self._tenants.tenant(tenant), path[0]
        if more or view is None:
            raise ValueError("the tenant must be named")
        if not paths.is_valid(certificate, now) or not paths.is_for_clients(certificate):
            raise ValueError("not valid now, or not meant for clients")
        names = _texts(certificate, NameOID.COMMON_NAME)
        groups = _texts(certificate, NameOID.ORGANIZATION_NAME)
        if len(names) != 1 or any(map(is_reserved, (*names, *groups))):
            raise ValueError("needs one common name, and none that is reserved")
        check_size(Mapped(names[0], groups))
        fingerprint = f"X509SHA256={certificate.fingerprint(hashes.SHA256()).hex()}"
        expires = paths.expires(path)
        caller = Caller(view.id, view.uid, names[0], groups, credential_id=fingerprint, expires=expires)
        issued = certificate.not_valid_before_utc.timestamp()
        return _Known(caller, min(expires, now + KEPT_SECONDS), serial(certificate), issued)


def _shown(credential: Credential) -> _Shown:
    return credential.tenant, credential.certificate


def _authorities(tenant: TenantId, bundle: str, kept: Kept | None = None) -> list[_Authority]:
    """The CAs of a PEM text. Raises ValueError."""
    uid = kept.tenant_uid if kept is not None else ""
    return [
        _Authority(one, Claim(tenant, kept is not None, place, mark(one)), uid)
        for place, one in enumerate(read(bundle))
    ]


def read(bundle: str) -> list[x509.Certificate]:
    """The CAs of a PEM text; none of an empty one. Raises ValueError: what it should be."""
    if not bundle.strip():
        return []
    try:
        found = x509.load_pem_x509_certificates(bundle.encode())
    except ValueError:
        raise ValueError("is no PEM text of certificates") from None
    if len(found) > CA_LIMIT:
        raise ValueError(f"has more than {CA_LIMIT} certificates")
    for index, one in enumerate(found):
        if not paths.is_authority(one):
            raise ValueError(f"certificate {index + 1} ({one.subject.rfc4514_string()}) is of no certificate authority")
    return found


def settings(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `clientCertificate` of a spec.authentication; nothing where it is odd."""
    found = spec.get("clientCertificate")
    return found if isinstance(found, dict) else {}


def serial(certificate: x509.Certificate) -> str:
    """The serial number, by which a certificate is listed and revoked."""
    return f"{certificate.serial_number:x}"


def is_reserved(name: str) -> bool:
    """Whether a user or group is nobody's to have by a certificate."""
    return name.startswith(("system:", "vcproxy:"))


def _texts(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(name.value) for name in certificate.subject.get_attributes_for_oid(oid) if name.value)
