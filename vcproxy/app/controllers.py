"""The controller's side: what it looks at, what it keeps on the host, what it makes for tenants."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from vcproxy import __version__
from vcproxy.access import issuing
from vcproxy.config.sections import Config
from vcproxy.core.exported import Exports
from vcproxy.core.hosting import Upstream
from vcproxy.core.kinds import Kind
from vcproxy.core.names import TenantId
from vcproxy.tenants import installation, wall
from vcproxy.tenants.assessments import Assess
from vcproxy.tenants.authorities import Made
from vcproxy.tenants.controller import Controller
from vcproxy.tenants.hostapi import KindPath, Object
from vcproxy.tenants.manifests import Advertised
from vcproxy.tenants.term import Term
from vcproxy.tenants.wall import stored

_VERSIONS: Final = {"autoscaling": "v2"}
"""Of built-in groups: the version in which the controller looks, where that is not v1."""


def controller_of(
    config: Config,
    upstream: Upstream,
    *,
    identity: str,
    ca: Callable[[], str],
    review: Callable[[], Object] | None,
    assess: Assess,
) -> Controller:
    """The controller of one replica. `upstream` is the way to the host as the controller, `identity` the replica's.

    `ca` gives the CA (PEM) that pods shall trust, `review` the webhook's configuration; None where there is no webhook.
    `assess` says what is wrong with a tenant's `spec.authentication`.
    """
    advertised = config.advertise_address
    term = partial(
        Term,
        upstream,
        kinds=_kinds(config.exports),
        advertised=Advertised(*advertised) if advertised else None,
        installed=_installed(config, webhook=review is not None),
        ca=ca,
        review=review,
        authority=_made_authority,
        assess=assess,
    )
    return Controller(upstream, identity=identity, term=term)


def _kinds(exports: Exports) -> list[KindPath]:
    """The kinds that tenants have in their namespaces, as they stand on the host."""
    rows = [row for row in map(stored, exports.served()) if row.namespaced and "list" in row.verbs]
    return [(row.group, _version(row, exports), row.resource) for row in rows]


def _version(row: Kind, exports: Exports) -> str:
    """The version in which the controller looks at a kind."""
    return exports.versions.get(row.key, _VERSIONS.get(row.group, "v1"))


def _installed(config: Config, *, webhook: bool) -> list[Object]:
    """What the controller keeps on the host; behind a webhook for pods also a policy."""
    host = config.pods.host_audiences
    walls = wall.pod_walls(host) if webhook else []
    walls += [*wall.token_walls(host), *wall.certificate_walls(config.pods.certificate_signers)]
    return [*installation.objects(__version__, config.exports), *walls]


def _made_authority(tenant: TenantId) -> Made:
    """A new CA for a tenant."""
    pair = issuing.make_authority(tenant, time.time())
    return Made(pair.certificate.decode(), pair.key, pair.expires().timestamp())
