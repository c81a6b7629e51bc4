"""The webhook for pods: where the host asks it, what the host is told of it, and who answers there."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from vcproxy.access.certificates import CertificateSource, Pair
from vcproxy.config.sections import Config
from vcproxy.core.admission import ClassesOf
from vcproxy.core.pods import Facts
from vcproxy.server import Server, ServerSettings
from vcproxy.tenants import pods_webhook
from vcproxy.tenants.hostapi import Object

REVIEWERS: Final = 256
"""Connections to the webhook for pods: API servers keep a few open each, others have no business there."""


class Reviews:
    """The webhook at one place: a URL, or a Service of the host. `authority` gives vcproxy's own CA."""

    def __init__(self, config: Config, place: str | pods_webhook.Service, authority: Callable[[], Pair]) -> None:
        self._config = config
        self._place = place
        self._authority = authority

    @property
    def name(self) -> str:
        """The host name by which the host asks."""
        place = self._place
        return place.host if isinstance(place, pods_webhook.Service) else urlsplit(place).hostname or ""

    def configuration(self) -> Object:
        """What the host is to be told. Raises ValueError until the keys were read."""
        ca = self._authority()
        client = pods_webhook.client(self._place, pods_webhook.secret_path(ca.key), ca.certificate)
        return pods_webhook.configuration(client)

    def server(self, classes: ClassesOf, certificate: CertificateSource) -> Server:
        """The listener, not started yet. `classes` gives those of a tenant."""
        host, port = self._config.webhook.listen
        settings = ServerSettings(host, port, connections=REVIEWERS, reuse_port=self._config.listen.shared)
        handler = pods_webhook.Webhook(_facts(self._config), self._path, classes)
        return Server(handler, settings, certificate.context())

    def _path(self) -> str:
        return pods_webhook.secret_path(self._authority().key)


def reviews_of(config: Config, authority: Callable[[], Pair]) -> Reviews | None:
    """The webhook; None where the configuration has no place for it."""
    service, url = config.webhook.service, config.webhook.url
    place = pods_webhook.Service(*service) if service else url
    return None if place is None else Reviews(config, place, authority)


def _facts(config: Config) -> Facts:
    host, port = config.advertise_address or ("", 0)
    inside = config.pods
    audiences, signers = frozenset(inside.host_audiences), frozenset(inside.certificate_signers)
    return Facts(inside.nameserver or "", host, port, audiences, signers)
