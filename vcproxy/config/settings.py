"""The settings: each is a row that says where it stands, what it is, its unit, its default and why that is so.

Reading, `vcproxy config show` and the documentation all come from these rows.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from vcproxy.config.values import (
    address,
    advertised,
    count,
    domain,
    duration,
    endpoint,
    file,
    flag,
    ip,
    names,
    one_of,
    optional_url,
    service,
    some_of,
    texts,
    url,
)
from vcproxy.core import exports
from vcproxy.core.rbac_words import WORDS

API_VERSION: Final = "config.vcproxy.io/v1alpha1"
KIND: Final = "Configuration"
AUTHENTICATORS: Final = ("certificate", "vcproxy", "oidc", "serviceAccount", "webhook")
"""Who can tell callers, in the order in which they are asked unless another is configured."""


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
    Setting(
        "pods.certificateSigners",
        texts,
        [],
        "signers",
        "none: whose certificates pods may have (podCertificate); that of kube-apiserver-client-pod opens the host",
    ),
    Setting("tokens.life", duration, "720h", "duration", "30 days: people renew a kubeconfig once a month"),
    Setting("tokens.longestLife", duration, "8760h", "duration", "a year: what is asked for beyond it is cut"),
    Setting(
        "authentication.order",
        some_of(*AUTHENTICATORS),
        list(AUTHENTICATORS),
        "names",
        "the first that knows a credential decides: what costs least comes first; one that is left out is off",
    ),
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
    Setting(
        "limits.rights",
        count,
        WORDS,
        "words per tenant",
        "of its roles and bindings, each some 100 bytes; 64 characters are a word",
    ),
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
