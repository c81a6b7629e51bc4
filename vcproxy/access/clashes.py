"""CAs that TLS cannot tell apart, and which of them counts.

One listener has one store of all tenants' CAs. OpenSSL takes the first there whose name, and whose key identifier where
both sides give one, are those that a certificate says it was signed by (X509_check_issued); it tries no other when
the signature then is not good. So a CA with the name of another and another key would end the other's logins.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vcproxy.core.names import TenantId

_BLANKS: Final = re.compile(r"[ \t\n\v\f\r]+")


class Mark(msgspec.Struct, frozen=True):
    """What TLS tells a CA by, and its public key, DER. `identifier` is empty where the CA has none.

    `subject` is its name as TLS compares names: `canonical`.
    """

    subject: str
    identifier: bytes
    key: bytes

    def clashes(self, other: "Mark") -> bool:
        """Whether TLS may take one for the other, although it has another key."""
        if self.subject != other.subject or self.key == other.key:
            return False
        return not self.identifier or not other.identifier or self.identifier == other.identifier


class Claim(msgspec.Struct, frozen=True):
    """A CA of a tenant: `kept` by vcproxy or named by the tenant, in that `place` among its own."""

    tenant: TenantId
    kept: bool
    place: int
    mark: Mark


class Claims:
    """The CAs of all tenants. `created` tells when a tenant was made, in seconds since the epoch."""

    def __init__(self, created: Callable[[TenantId], float]) -> None:
        self._created = created
        self._named: dict[str, dict[TenantId, list[Claim]]] = {}

    def take(self, claim: Claim) -> None:
        self._named.setdefault(claim.mark.subject, {}).setdefault(claim.tenant, []).append(claim)

    def forget(self, claim: Claim) -> None:
        """Forget what the claim's tenant has of that name."""
        named = self._named.get(claim.mark.subject, {})
        named.pop(claim.tenant, None)
        if not named:
            self._named.pop(claim.mark.subject, None)

    def tenants(self, subject: str) -> Sequence[TenantId]:
        """Who has a CA of this name (`canonical`)."""
        return tuple(self._named.get(subject, ()))

    def loses(self, claim: Claim) -> bool:
        """Whether one that comes before it is mistaken for it: kept ones first, then by the age of the tenant."""
        order = self.order(claim)
        named = self._named.get(claim.mark.subject, {})
        return any(
            claim.mark.clashes(other.mark) and self.order(other) < order for found in named.values() for other in found
        )

    def order(self, claim: Claim) -> tuple[bool, float, str, int]:
        """By which claims are sorted, the same in every proxy and after every start."""
        return not claim.kept, self._created(claim.tenant), claim.tenant, claim.place


def mark(certificate: x509.Certificate) -> Mark:
    """Raises ValueError for a certificate whose key or extensions cannot be read."""
    try:
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        found = b""
    except (UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None
    return Mark(canonical(certificate.subject), found, key)


def canonical(name: x509.Name) -> str:
    """A name as OpenSSL compares it, whatever its string types, case and blanks (x509_name_canon; RFC 5280 7.1)."""
    return "/".join("+".join(sorted(map(_attribute, part))) for part in name.rdns)


def _attribute(one: x509.NameAttribute[str | bytes]) -> str:
    text = one.value if isinstance(one.value, str) else one.value.hex()
    lower = text.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")  # ASCII letters alone
    return f"{one.oid.dotted_string}={_BLANKS.sub(' ', lower).strip(' ')!r}"
