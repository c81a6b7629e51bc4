"""All ways to tell a caller, put together: the chain, and what of a Tenant resource changes it while it runs."""

import logging
import ssl
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cryptography import x509

from vcproxy.access import trust
from vcproxy.access.authenticator import Authenticator, Revocations, Tenants, TokenAuthenticator
from vcproxy.access.chain import Chain
from vcproxy.access.clientcerts import CertificateAuthenticator, Kept, settings
from vcproxy.access.fetching import Fetcher, UnreachableError
from vcproxy.access.hosttokens import Host, HostIssuer, LocalVerifier, ReviewingVerifier
from vcproxy.access.keys import Keys
from vcproxy.access.listening import Trust
from vcproxy.access.oidc import OidcAuthenticator
from vcproxy.access.refresh import Refresher
from vcproxy.access.reviewing import TokenReviewer
from vcproxy.access.serviceaccounts import ServiceAccountAuthenticator, Verifier
from vcproxy.access.webhook import WebhookAuthenticator
from vcproxy.config.sections import AuthenticationConfig
from vcproxy.core.names import TenantId

log = logging.getLogger(__name__)


class Callers:
    """The chain, in the configured order. An authenticator that is not in it is off."""

    def __init__(
        self,
        keys: Callable[[], Keys | None],
        revocations: Revocations,
        tenants: Tenants,
        settings: AuthenticationConfig,
        host: Host,
        host_audiences: Collection[str] = (),
    ) -> None:
        """Raises TrustError and OSError for files that cannot be read."""
        used = frozenset(settings.order)
        self._trust = Trust() if "certificate" in used else None
        trusted: Callable[[x509.Certificate], None] = self._trust.add if self._trust else lambda certificate: None
        self._certificates = CertificateAuthenticator(tenants, trusted, revocations)
        self._oidc = OidcAuthenticator(tenants, trust.load(settings.jwt) if settings.jwt else ())
        self._specs: dict[TenantId, Mapping[str, Any]] = {}
        self._kept: dict[TenantId, Kept] = {}
        self.refresher = Refresher(keys if "vcproxy" in used else lambda: None, revocations)
        self.issuer = HostIssuer(host)
        local = settings.service_accounts == "local"
        reviewing = ReviewingVerifier(host, self.issuer, frozenset(host_audiences))
        verifier: Verifier = LocalVerifier(host, self.issuer) if local else reviewing
        accounts = ServiceAccountAuthenticator(tenants, verifier)
        known: dict[str, Authenticator] = {
            "certificate": self._certificates,
            "vcproxy": TokenAuthenticator(keys, revocations),
            "oidc": self._oidc,
            "serviceAccount": accounts,
            **_webhook(settings, tenants),
        }
        self.chain = Chain([known[name] for name in settings.order if name in known])
        self.reviewer = TokenReviewer(
            self.chain, accounts if "serviceAccount" in used else None, frozenset(host_audiences)
        )

    async def look(self, host_audiences: Collection[str]) -> None:
        """Read the host's issuer, and say what is odd about it: nothing here keeps a proxy from starting."""
        try:
            name = await self.issuer.name()
        except UnreachableError as error:
            log.warning("ServiceAccount tokens cannot be verified yet: %s", error)
            return
        if name not in host_audiences:
            log.warning("the host's issuer %s is not in pods.hostAudiences: see docs/service-accounts.md", name)

    def update(self, tenant: TenantId, spec: Mapping[str, Any] | None) -> None:
        """Take up `spec.authentication` of a tenant; None when it is gone. What is wrong in it counts for nothing."""
        self._specs.pop(tenant, None)
        if spec:
            self._specs[tenant] = spec
        issuers, problems = trust.sound((spec or {}).get("jwt") or [])
        self._oidc.update(tenant, issuers)
        for problem in problems:
            log.error("tenant %s: spec.authentication.%s", tenant, problem)
        self._update_certificates(tenant)

    def listen(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """A listener's context, from now on with all CAs of tenants."""
        return self._trust.apply(context, self._certificates.authorities()) if self._trust else context

    def clashing(self, tenant: TenantId, bundle: str) -> list[str]:
        """Which CAs of a bundle of a tenant do not count, for TLS cannot tell them from others. Raises ValueError."""
        return self._certificates.clashing(tenant, bundle)

    def keep(self, tenant: TenantId, kept: Kept | None) -> None:
        """Take up the CAs that vcproxy keeps for a tenant; they count while its spec asks for them."""
        self._kept.pop(tenant, None)
        if kept is not None:
            self._kept[tenant] = kept
        self._update_certificates(tenant)

    def _update_certificates(self, tenant: TenantId) -> None:
        given = settings(self._specs.get(tenant, {}))
        kept = self._kept.get(tenant) if given.get("issue") is True else None
        try:  # what vcproxy keeps it has made itself
            self._certificates.update(tenant, str(given.get("caBundle") or ""), kept)
        except ValueError as error:
            log.error("tenant %s: spec.authentication.clientCertificate: a CA bundle %s", tenant, error)
        self.chain.reconsider()


def _webhook(settings: AuthenticationConfig, tenants: Tenants) -> dict[str, Authenticator]:
    if not settings.webhook:
        return {}
    ca = settings.webhook_ca.read_text() if settings.webhook_ca else ""
    fetcher = Fetcher(ca, settings.webhook_deadline)
    asked = settings.webhook_kept, settings.webhook_refused
    return {"webhook": WebhookAuthenticator(tenants, settings.webhook, fetcher.ask, *asked)}
