"""The configuration as the program has it: typed, checked, one class for each section of the file."""

from pathlib import Path

import msgspec

from vcproxy.core.exported import NOTHING, Exports


class HostConfig(msgspec.Struct, frozen=True):
    """How the host is reached. Without kubeconfigs: from inside a pod, with the files mounted there."""

    kubeconfig: Path | None
    controller_kubeconfig: Path | None


class ListenConfig(msgspec.Struct, frozen=True):
    """Where tenants reach the proxy, and the certificate that they see. `shared`: other processes listen there too."""

    address: tuple[str, int]
    certificate: Path | None
    key: Path | None
    names: tuple[str, ...]
    public_url: str
    domain: str = ""
    shared: bool = False


class WebhookConfig(msgspec.Struct, frozen=True):
    """Where the host's API server reaches the webhook for pods: at `url` or through `service`, else there is none."""

    listen: tuple[str, int]
    url: str | None
    service: tuple[str, str, int] | None


class PodConfig(msgspec.Struct, frozen=True):
    """What holds inside of pods: the address of the cluster's DNS, the audiences of the host's API server, and the
    signers whose certificates pods may have."""

    nameserver: str | None
    host_audiences: tuple[str, ...]
    certificate_signers: tuple[str, ...] = ()


class TokenConfig(msgspec.Struct, frozen=True):
    """Seconds."""

    life: float
    longest_life: float


class AuthenticationConfig(msgspec.Struct, frozen=True):
    """Callers beside vcproxy's own tokens. Seconds; without `webhook` none is asked."""

    jwt: Path | None
    webhook: str
    webhook_ca: Path | None
    webhook_deadline: float
    webhook_kept: float
    webhook_refused: float
    order: tuple[str, ...]
    """Who is asked, the first one first; who is not in it is off."""
    service_accounts: str = "local"


class LimitConfig(msgspec.Struct, frozen=True):
    """Bytes, seconds and counts; counts are per tenant but `connections` and `host_connections`."""

    body_bytes: int
    head_bytes: int
    in_flight: int
    watches: int
    connections: int
    tenant_connections: int
    host_connections: int
    tenant_host_connections: int
    definitions: int
    rights: int
    host_timeout: float
    keep_alive: float
    drain: float


class LogConfig(msgspec.Struct, frozen=True):
    format: str
    level: str


class Config(msgspec.Struct, frozen=True):
    """The whole configuration."""

    host: HostConfig
    listen: ListenConfig
    operations: tuple[str, int]
    advertise_address: tuple[str, int] | None
    webhook: WebhookConfig
    pods: PodConfig
    tokens: TokenConfig
    limits: LimitConfig
    log: LogConfig
    controller: bool
    authentication: AuthenticationConfig
    exports: Exports = NOTHING
