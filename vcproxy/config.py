"""The configuration: one versioned YAML file, read whole, every problem told at once.

Each setting is a row of SETTINGS: where it stands, what it is, its unit, its default and why that is so. Reading,
`vcproxy config show` and the documentation all come from these rows.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml

from vcproxy.core import exports
from vcproxy.core.exported import NOTHING, Exports

API_VERSION: Final = "config.vcproxy.io/v1alpha1"
KIND: Final = "Configuration"


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
    """What holds inside of pods: the address of the cluster's DNS, and the audiences of the host's API server."""

    nameserver: str | None
    host_audiences: tuple[str, ...]


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


class ConfigErrors(ValueError):  # noqa: N818 - it holds several
    """Everything that is wrong with a file, one text each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# Sorts of values: each takes what YAML gave and returns the typed value, or raises ValueError: what it should be ---

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_duration = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration(value: Any) -> float:
    """Seconds of `30s`, `12h`, `1h30m`."""
    text = str(value)
    found = _duration.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError("is a duration such as 30s, 12h or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in found)
    if seconds <= 0:
        raise ValueError("is a duration longer than nothing")
    return seconds


def count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("is a whole number above 0")
    return value


def address(value: Any) -> tuple[str, int]:
    """Host and port of `0.0.0.0:8443` or `[::]:8443`."""
    host, colon, port = str(value).rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) < 65536 or not host:
        raise ValueError("is an address with a port, such as 0.0.0.0:8443")
    return host.strip("[]"), int(port)


def advertised(value: Any) -> tuple[str, int] | None:
    """An address that pods can reach: the host refuses loopback and link-local ones in EndpointSlices."""
    if value is None:
        return None
    host, port = address(value)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("is an IP address with a port, such as 192.0.2.10:8443") from None
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        raise ValueError("is an address that pods can reach: not loopback, link-local, unspecified or multicast")
    return str(ip), port


def file(value: Any) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise ValueError("is the path of a file")
    return Path(value)


def names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError("is a list of DNS names and IP addresses")
    return tuple(value)


def url(value: Any) -> str:
    text = str(value).rstrip("/")
    if not re.fullmatch(r"https://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?", text):
        raise ValueError("is an https URL of a host and a port, such as https://clusters.example.com:8443")
    return text


def endpoint(value: Any) -> str:
    """The https address of a service that is asked, with its path."""
    if value is None:
        return ""
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme != "https" or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("is an https URL without user and fragment, such as https://login.example.com/review")
    return str(value)


def domain(value: Any) -> str:
    text = "" if value is None else str(value).lower().strip(".")
    if text and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", text):
        raise ValueError("is a DNS name, such as clusters.example.com")
    return text


def optional_url(value: Any) -> str | None:
    return None if value is None else url(value)


def service(value: Any) -> tuple[str, str, int] | None:
    """Namespace, name and port of `vcproxy-system/vcproxy-webhook:443`."""
    if value is None:
        return None
    found = re.fullmatch(r"([a-z0-9-]{1,63})/([a-z0-9-]{1,63}):(\d{1,5})", str(value))
    if not found or not 0 < int(found[3]) < 65536:
        raise ValueError("is a Service with a port, such as vcproxy-system/vcproxy-webhook:443")
    return found[1], found[2], int(found[3])


def ip(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError("is an IP address, such as 10.96.0.10") from None


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"is one of {', '.join(choices)}")
        return str(value)

    return read


# The rows ---


class Setting(msgspec.Struct, frozen=True):
    """A setting: its path in the file, how it is read, its default as it would be written, unit, reason, and whether
    the running proxy takes up a change by itself."""

    path: str
    read: Callable[[Any], Any]
    default: Any
    unit: str
    why: str
    reloads: bool = False


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("host.kubeconfig", file, None, "path", "none: inside a pod, the token of the ServiceAccount vcproxy"),
    Setting(
        "host.controllerKubeconfig", file, None, "path", "none: inside a pod, the token mounted for the controller"
    ),
    Setting(
        "listen.address", address, "0.0.0.0:8443", "host:port", "what tenants reach; the port that API servers avoid"
    ),
    Setting("listen.certificate", file, None, "path", "none: made and renewed from vcproxy's own CA", True),
    Setting("listen.key", file, None, "path", "the key of listen.certificate", True),
    Setting(
        "listen.names", names, ["localhost", "127.0.0.1"], "names", "what the certificate that is made is good for"
    ),
    Setting("listen.publicURL", url, "https://127.0.0.1:8443", "URL", "what kubeconfigs of tenants carry"),
    Setting("listen.domain", domain, None, "name", "none; with it, the host name <id>.<domain> names a tenant"),
    Setting("operations.address", address, "127.0.0.1:8080", "host:port", "health and metrics; not for tenants"),
    Setting("advertiseAddress", advertised, None, "ip:port", "none: tenants get no Service `kubernetes`"),
    Setting("webhook.listen", address, "0.0.0.0:9443", "host:port", "what the host's API server asks about new pods"),
    Setting("webhook.url", optional_url, None, "URL", "where it asks; with neither, pods stay as the host makes them"),
    Setting("webhook.service", service, None, "namespace/name:port", "the same through a Service of the host"),
    Setting("pods.nameserver", ip, None, "ip", "the cluster's DNS; none: names in pods stay the host's"),
    Setting(
        "pods.hostAudiences",
        names,
        ["https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"],
        "texts",
        "tokens of pods for these are made for the tenant's API server instead",
    ),
    Setting("tokens.life", duration, "720h", "duration", "30 days: people renew a kubeconfig once a month"),
    Setting("tokens.longestLife", duration, "8760h", "duration", "a year: what is asked for beyond it is cut"),
    Setting("authentication.jwt", file, None, "path", "none: no OIDC issuer speaks for all tenants"),
    Setting("authentication.webhook", endpoint, None, "URL", "none: nobody is asked about tokens"),
    Setting("authentication.webhookCA", file, None, "path", "none: the system's own CAs"),
    Setting("authentication.webhookDeadline", duration, "10s", "duration", "then the token is refused"),
    Setting("authentication.webhookKept", duration, "2m", "duration", "a yes; the API server's own default"),
    Setting("authentication.webhookRefused", duration, "30s", "duration", "a no; the API server's own default"),
    Setting(
        "authentication.serviceAccounts",
        one_of("local", "tokenreview"),
        "local",
        "",
        "with the host's public keys; tokenreview asks the host about each token, which needs no issuer URL",
    ),
    Setting("limits.bodyBytes", count, 3145728, "bytes", "the API server's own bound of a request's body"),
    Setting("limits.headBytes", count, 65536, "bytes", "client-go sends long tokens and Accept lists"),
    Setting("limits.inFlight", count, 400, "requests per tenant", "the API server's own --max-requests-inflight"),
    Setting("limits.watches", count, 2000, "watches per tenant", "an operator has tens, kubectl a few"),
    Setting("limits.connections", count, 65536, "connections", "of all clients, each some 35 KB; then 429"),
    Setting("limits.tenantConnections", count, 4096, "connections per tenant", "watches, requests and room"),
    Setting("limits.hostConnections", count, 8192, "connections", "for tenants; its own reads come on top"),
    Setting(
        "limits.tenantHostConnections", count, 1024, "connections per tenant", "one tenant cannot take all; then 429"
    ),
    Setting("limits.definitions", count, 100, "definitions per tenant", "each kind costs the host some 1 MB of memory"),
    Setting("limits.hostTimeout", duration, "30s", "duration", "to the head of the host's answer; then 504"),
    Setting(
        "limits.keepAlive", duration, "75s", "duration", "idle connections of clients; below the 90 s of client-go"
    ),
    Setting("limits.drain", duration, "10s", "duration", "from SIGTERM until what still runs is ended"),
    Setting("log.format", one_of("text", "json"), "text", "", "people read it first"),
    Setting("log.level", one_of("debug", "info", "warning", "error"), "info", "", "one line for each request"),
    Setting("exports", exports.read, None, "kinds", "none: the provider's own definitions are hidden from tenants"),
    Setting("controller.enabled", flag, True, "", "any replica may lead; off where another process does it"),
)
_SECTIONS: Final = frozenset(setting.path.rpartition(".")[0] for setting in SETTINGS if "." in setting.path)


def load(path: Path) -> Config:
    """The configuration of a file. Raises ConfigErrors with everything that is wrong."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigErrors([f"{path}: {error.strerror}"]) from error
    except yaml.YAMLError as error:
        raise ConfigErrors([f"{path}: not YAML: {' '.join(str(error).split())}"]) from error
    return parse(document, path.parent)


def parse(document: Any, folder: Path = Path()) -> Config:
    """The configuration of a decoded document; relative paths are relative to `folder`. Raises ConfigErrors."""
    if not isinstance(document, dict):
        raise ConfigErrors([f"the file must hold one object with apiVersion: {API_VERSION}"])
    problems = _head_problems(document)
    given = _flatten({key: value for key, value in document.items() if key not in ("apiVersion", "kind")}, problems)
    values = {setting.path: _read(setting, given, folder, problems) for setting in SETTINGS}
    problems += _together(values)
    if problems:
        raise ConfigErrors(problems)
    return _config(values)


def _head_problems(document: Mapping[str, Any]) -> list[str]:
    wanted = {"apiVersion": API_VERSION, "kind": KIND}
    return [f"{key}: must be {value}" for key, value in wanted.items() if document.get(key) != value]


def _flatten(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Settings by path; whatever is no setting is a problem, with the nearest one that is."""
    known = {setting.path for setting in SETTINGS}
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key in _SECTIONS and isinstance(value, dict):
            for inner, content in value.items():
                found[f"{key}.{inner}"] = content
        elif key in _SECTIONS:
            problems.append(f"{key}: must be an object")
        else:
            found[str(key)] = value
    for path in [path for path in found if path not in known]:
        near = difflib.get_close_matches(path, [*known, *_SECTIONS], 1)
        problems.append(f"{path}: unknown" + (f"; did you mean {near[0]}?" if near else ""))
        del found[path]
    return found


def _read(setting: Setting, given: Mapping[str, Any], folder: Path, problems: list[str]) -> Any:
    try:
        value = setting.read(given.get(setting.path, setting.default))
    except ValueError as error:
        problems.append(f"{setting.path}: {error}")
        return None
    return folder / value if isinstance(value, Path) else value


def _together(values: Mapping[str, Any]) -> list[str]:
    """Problems of settings that only count together."""
    found = []
    if (values["listen.certificate"] is None) != (values["listen.key"] is None):
        found.append("listen.certificate and listen.key: give both or none")
    if (values["host.kubeconfig"] is None) != (values["host.controllerKubeconfig"] is None):
        found.append("host.kubeconfig and host.controllerKubeconfig: give both or none")
    if values["webhook.url"] is not None and values["webhook.service"] is not None:
        found.append("webhook.url and webhook.service: give one of them")
    life, longest = values["tokens.life"], values["tokens.longestLife"]
    if life is not None and longest is not None and life > longest:
        found.append("tokens.life: must not be longer than tokens.longestLife")
    return found


def _config(values: Mapping[str, Any]) -> Config:
    def section(name: str) -> dict[str, Any]:
        return {_snake(path.partition(".")[2]): value for path, value in values.items() if path.startswith(f"{name}.")}

    return Config(
        HostConfig(**section("host")),
        ListenConfig(**section("listen")),
        values["operations.address"],
        values["advertiseAddress"],
        WebhookConfig(**section("webhook")),
        PodConfig(**section("pods")),
        TokenConfig(**section("tokens")),
        LimitConfig(**section("limits")),
        LogConfig(**section("log")),
        values["controller.enabled"],
        AuthenticationConfig(**section("authentication")),
        values["exports"],
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z]+)", lambda match: "_" + match[1].lower(), name)


def shown(document: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every setting with its value, default, unit and reason, for people and machines; `document` is a decoded file."""
    given = _flatten({k: v for k, v in (document or {}).items() if k not in ("apiVersion", "kind")}, [])
    return [
        {
            "path": setting.path,
            "value": given.get(setting.path, setting.default),
            "default": setting.default,
            "unit": setting.unit,
            "why": setting.why,
            "reloads": setting.reloads,
        }
        for setting in SETTINGS
    ]
