"""What vcproxy signs for tenants: a CA for each that asks for one, and with it the certificates of its users.

ECDSA on P-256, as everything here. A certificate is recorded like a token, by its serial number.
"""

import datetime
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vcproxy.access.certificates import Pair, builder_of, make_ca, pair_of, signer_of
from vcproxy.access.clientcerts import is_reserved, serial
from vcproxy.access.records import CERTIFICATE, LONGEST_LIFE, IssuedToken
from vcproxy.core.names import TenantId

AUTHORITY_DAYS: Final = 732.0
"""Two years: the next CA is made when a year is left, which is as long as a certificate lives at most."""
NAME_LIMIT: Final = 64
"""Characters of a name in a certificate (RFC 5280 appendix A.1: ub-common-name, ub-organization-name)."""
GROUP_LIMIT: Final = 64
_DAY: Final = 86400.0


def make_authority(tenant: TenantId, now: float) -> Pair:
    """A new CA of a tenant. No two have one name: TLS tells them apart by it."""
    return make_ca(lambda: _moment(now), f"vcproxy tenant {tenant} {secrets.token_hex(4)}", AUTHORITY_DAYS)


def sign(
    ca: Pair, tenant_uid: str, user: str, groups: Sequence[str], life: float, now: float
) -> tuple[Pair, IssuedToken]:
    """A new key with a certificate for a user, and what is recorded of it. It ends with its CA at the latest.

    `life` is in seconds. Raises ValueError: what is wrong with what was asked for.
    """
    _check(user, groups, life)
    authority = x509.load_pem_x509_certificate(ca.certificate)
    left = authority.not_valid_after_utc.timestamp() - now
    if left < 1:
        raise ValueError("the tenant's CA has ended")
    signer, key = signer_of(ca), ec.generate_private_key(ec.SECP256R1())
    builder = builder_of(_subject(user, groups), authority.subject, key, _moment(now), min(life, left) / _DAY)
    for extension, critical in _extensions(signer):
        builder = builder.add_extension(extension, critical=critical)
    made = builder.sign(signer, hashes.SHA256())
    expires = made.not_valid_after_utc.timestamp()
    issued = round(now, 6)
    record = IssuedToken(serial(made), user, tuple(groups), issued, expires, tenant_uid, kind=CERTIFICATE)
    return pair_of(made, key), record


def _check(user: str, groups: Sequence[str], life: float) -> None:
    for name in (user, *groups):
        if not 0 < len(name) <= NAME_LIMIT:
            raise ValueError(f"a name in a certificate has 1 to {NAME_LIMIT} characters: {name!r}; use a token for it")
        if is_reserved(name):
            raise ValueError(f"the prefixes system: and vcproxy: are reserved: {name}")
    if len(groups) > GROUP_LIMIT:
        raise ValueError(f"a certificate holds {GROUP_LIMIT} groups at most")
    if not 1 <= life <= LONGEST_LIFE:
        raise ValueError(f"a certificate lives from 1 second to {LONGEST_LIFE / _DAY:.0f} days")


def _subject(user: str, groups: Sequence[str]) -> x509.Name:
    """User and groups, where Kubernetes looks for them."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _extensions(signer: ec.EllipticCurvePrivateKey) -> list[tuple[x509.ExtensionType, bool]]:
    """Each with whether it is critical."""
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]


def _moment(now: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now, datetime.UTC)
