"""The host's mutating webhook for tenants' Pods and claims: who may ask, what it answers, how the host is told of it.

Only the host's API server knows the path: its last part is made of vcproxy's CA key and stands nowhere but in the
MutatingWebhookConfiguration, which tenants cannot read. A client certificate would need settings of the API server.
The webhook fails closed: while no proxy answers, the host makes no Pod in a tenant's namespace, and controllers retry.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from vcproxy.core import admission, http, pods
from vcproxy.core.admission import ClassesOf
from vcproxy.core.http import Call, Reply
from vcproxy.core.names import TENANT_LABEL
from vcproxy.core.pods import Facts
from vcproxy.core.status import ApiError, Status
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of

log = logging.getLogger(__name__)

NAME: Final = "vcproxy-pods"
VERSION: Final = "admissionregistration.k8s.io/v1"
PATH: Final = path_of(VERSION, "mutatingwebhookconfigurations", name=NAME)
TIMEOUT: Final = 5
"""Seconds that the host waits for an answer; it takes well under one."""
BODY_LIMIT: Final = 8 * 1024 * 1024
"""Bytes: a Pod before and after, each as large as etcd takes them, and room."""
SLOW_BODY: Final = 256 * 1024
"""Bytes of a body from which a thread works on it."""
LOOK: Final = 60.0
"""Seconds between two writes of the host's configuration."""
_PREFIX: Final = "/pods/"


def secret_path(key: bytes) -> str:
    """The path that only the API server is told, of a key that all replicas have."""
    return _PREFIX + hmac.new(key, b"vcproxy webhook for pods", hashlib.sha256).hexdigest()


class Webhook:
    """Answers reviews. `path` gives the secret path as it is now, `classes_of` the classes of a tenant."""

    def __init__(self, facts: Facts, path: Callable[[], str], classes_of: ClassesOf) -> None:
        self._facts = facts
        self._path = path
        self._classes_of = classes_of

    async def __call__(self, call: Call) -> Reply:
        """Never raises but when the client went away, or what cannot be thought of: then the host fails closed."""
        try:
            self._check(call)
            raw = await call.read(BODY_LIMIT)
            if len(raw) > SLOW_BODY:
                body = await asyncio.to_thread(admission.answer, raw, self._facts, self._classes_of)
            else:
                body = admission.answer(raw, self._facts, self._classes_of)
        except ApiError as refusal:
            return http.refused(refusal.status, call.request_id)
        return Reply(200, (("Content-Type", "application/json"),), body)

    def _check(self, call: Call) -> None:
        """Raises ApiError 404 for another path, whoever asks, 405 for another method."""
        asked = call.target.partition(b"?")[0]
        if not hmac.compare_digest(asked, self._path().encode()):
            raise ApiError(Status(404, "NotFound", "the server could not find the requested resource"))
        if call.method != "POST":
            raise ApiError(Status(405, "MethodNotAllowed", "reviews are posted"))


# What the host is told -----------------------------------------------------------------------------------------------


class Service(msgspec.Struct, frozen=True):
    """A Service of the host that leads to the webhook."""

    namespace: str
    name: str
    port: int

    @property
    def host(self) -> str:
        """What the API server expects in the certificate."""
        return f"{self.name}.{self.namespace}.svc"


def client(where: str | Service, path: str, ca: bytes) -> Object:
    """A WebhookClientConfig: `where` is an https URL of host and port, or a Service; `ca` is PEM."""
    bundle = base64.b64encode(ca).decode()
    if isinstance(where, str):
        return {"url": where + path, "caBundle": bundle}
    service = {"namespace": where.namespace, "name": where.name, "port": where.port, "path": path}
    return {"service": service, "caBundle": bundle}


_KEPT: Final = f".metadata.?annotations[?'{pods.NAMESPACE}'].orValue('')"
CONCERNED: Final = (
    "request.operation == 'CREATE' || (has(request.subResource) && request.subResource == 'ephemeralcontainers')"
    f" || object.spec != oldObject.spec || object{_KEPT} != oldObject{_KEPT}"
)
"""CEL: which writes need an answer. Labels, finalizers and what nodes tell change without one."""
OF_CONTROLLERS: Final = "!request.userInfo.username.startsWith('vcproxy:tenant:')"
"""CEL: what a tenant writes has its class from the proxy."""


def configuration(client_config: Object) -> Object:
    """The MutatingWebhookConfiguration. Namespaces of the host itself lack the label and are never selected."""
    pods_changed = ["pods", "pods/ephemeralcontainers", "pods/resize", "pods/status"]
    return {
        "apiVersion": VERSION,
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "vcproxy"}},
        "webhooks": [
            _webhook("pods", CONCERNED, client_config, [("CREATE", ["pods"]), ("UPDATE", pods_changed)]),
            _webhook("claims", OF_CONTROLLERS, client_config, [("CREATE", ["persistentvolumeclaims"])]),
        ],
    }


def _webhook(name: str, condition: str, client_config: Object, rules: list[tuple[str, list[str]]]) -> Object:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "scope": "Namespaced"}
    return {
        "name": f"{name}.vcproxy.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": client_config,
        "rules": [{**rule, "operations": [operation], "resources": resources} for operation, resources in rules],
        "namespaceSelector": {"matchExpressions": [{"key": TENANT_LABEL, "operator": "Exists"}]},
        "objectSelector": {},
        "matchConditions": [{"name": "concerned", "expression": condition}],
        "matchPolicy": "Equivalent",
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT,
    }


async def write(api: HostApi, wanted: Callable[[], Object]) -> None:
    """Tell the host. Raises HostError or ApiError."""
    await api.apply(PATH, wanted())


async def keep(api: HostApi, wanted: Callable[[], Object]) -> None:
    """Write it again now and then, until cancelled: somebody may have changed it, or the CA is another."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            await write(api, wanted)
        except (HostError, ApiError, ValueError) as error:
            log.warning("webhook for pods: %s", error)
