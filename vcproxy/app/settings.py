"""What of the configuration counts for the listener and for each request."""

from vcproxy.config.sections import Config
from vcproxy.flow import Settings
from vcproxy.server import ServerSettings


def of_listener(config: Config) -> ServerSettings:
    """The listener of tenants."""
    (host, port), limits = config.listen.address, config.limits
    return ServerSettings(
        host,
        port,
        limits.head_bytes,
        limits.keep_alive,
        limits.drain,
        limits.connections,
        limits.tenant_connections,
        config.listen.shared,
    )


def of_requests(config: Config) -> Settings:
    """Each request."""
    limits = config.limits
    return Settings(
        limits.body_bytes,
        limits.host_timeout,
        config.listen.domain,
        limits.definitions,
        frozenset(config.pods.host_audiences),
        config.exports,
    )
