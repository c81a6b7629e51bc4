"""The certificates that are shown to tenants and to the host: given or made, and looked at again while all runs."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from vcproxy.access import certificates
from vcproxy.access.certificates import CertificateSource, Pair
from vcproxy.config.sections import Config, ListenConfig
from vcproxy.core.scope import Authorities

log = logging.getLogger(__name__)

CERTIFICATE_CHECK: Final = 5.0
"""Seconds between two looks at whether there is a newer serving certificate."""
IN_CLUSTER_NAMES: Final = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
"""What clients inside of pods call the API server: the names in its own certificate, as kubeadm makes it."""


class Certificates:
    """Those of one proxy. `authority` gives vcproxy's own CA; it raises ValueError until that was read.

    `authorities` are what every request is told of: the proxy's own as of the last look, the host's as it is put there.
    """

    def __init__(self, config: Config, authority: Callable[[], Pair]) -> None:
        self._listen = config.listen
        self._authority = authority
        self.tenants = _source(config.listen, config.advertise_address, authority)
        self.authorities = Authorities()
        self._reviews: CertificateSource | None = None

    def reviews(self, name: str) -> CertificateSource:
        """The one that the webhook for pods shows, under the name by which the host asks it."""
        self._reviews = certificates.of_ca(self._authority, [name])
        return self._reviews

    def trusted(self) -> str:
        """What clients trust (PEM): the given certificate's own file, or vcproxy's CA. Raises OSError, ValueError."""
        given = self._listen.certificate
        return given.read_text() if given else self._authority().certificate.decode()

    async def renew(self) -> None:
        """Take up newer ones. Works until cancelled."""
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK)
            self.look()

    def look(self) -> None:
        """Take up newer ones now: each by itself, so that one that cannot be read holds no other back."""
        for source in (self.tenants, self._reviews):
            try:
                if source is not None and source.refresh():
                    log.info("a new serving certificate is in use")
            except (OSError, ValueError) as error:
                log.error("a serving certificate cannot be read, the old one stays in use: %s", error)
        try:
            self.authorities.shown = self.trusted()
        except (OSError, ValueError) as error:
            log.error("what clients trust cannot be read, the old certificate stays shown: %s", error)


def _source(
    listen: ListenConfig, advertised: tuple[str, int] | None, authority: Callable[[], Pair]
) -> CertificateSource:
    if listen.certificate is not None and listen.key is not None:
        return certificates.of_files(listen.certificate, listen.key)
    inside = (*IN_CLUSTER_NAMES, advertised[0]) if advertised else ()
    tenants = (f"*.{listen.domain}",) if listen.domain else ()
    return certificates.of_ca(authority, tuple(dict.fromkeys((*listen.names, *tenants, *inside))))
