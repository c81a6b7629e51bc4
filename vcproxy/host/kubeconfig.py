"""How the host is reached and by whom: a kubeconfig file, or the files of a pod.

Credentials never show in `repr`.
"""

import base64
import os
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from vcproxy.config.sections import HostConfig

IN_CLUSTER = Path("/var/run/secrets/vcproxy")
"""Where a pod of vcproxy has its two token Secrets mounted: `proxy/` and `controller/`, each with token and ca.crt."""
TOKEN_FILE_LIFE = 60.0
"""Seconds for which a token read from a file is believed (client-go: one minute)."""


class HostCredentials:
    """Address, trust and credential of one user of the host. Immutable but for a token file, which is read again."""

    def __init__(
        self,
        server: str,
        *,
        ca: bytes | None = None,
        token: str | None = None,
        token_file: Path | None = None,
        client_cert: bytes | None = None,
        client_key: bytes | None = None,
        server_name: str | None = None,
    ) -> None:
        self.server = server
        self.ca = ca
        self.server_name = server_name
        self._token = token
        self._token_file = token_file
        self._token_read = float("-inf")
        self._client_cert = client_cert
        self._client_key = client_key

    def __repr__(self) -> str:
        return f"HostCredentials({self.server!r})"

    def authorization(self) -> str | None:
        """The Authorization header, or None where a client certificate speaks."""
        if self._token_file is not None and time.monotonic() - self._token_read > TOKEN_FILE_LIFE:
            self._token = self._token_file.read_text().strip()
            self._token_read = time.monotonic()
        return f"Bearer {self._token}" if self._token else None

    def ssl_context(self) -> ssl.SSLContext:
        """A client context that verifies the host, with the client certificate if there is one."""
        context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        if self._client_cert and self._client_key:
            with tempfile.NamedTemporaryFile() as pem:  # the ssl module reads key pairs from files only
                pem.write(self._client_cert + b"\n" + self._client_key)
                pem.flush()
                context.load_cert_chain(pem.name)
        return context


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message says which file and what is missing."""


def load_kubeconfig(path: Path, context: str | None = None) -> HostCredentials:
    """The credentials of `context` (else the current one) of a kubeconfig file. Raises KubeconfigError."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: not a kubeconfig")
    name = context or document.get("current-context")
    chosen = _named(document, "contexts", name, "context", path)
    cluster = _named(document, "clusters", chosen.get("cluster"), "cluster", path)
    user = _named(document, "users", chosen.get("user"), "user", path)
    if "server" not in cluster:
        raise KubeconfigError(f"{path}: cluster {chosen.get('cluster')!r} has no server")
    token_file = user.get("tokenFile")
    credentials = HostCredentials(
        str(cluster["server"]).rstrip("/"),
        ca=_data(cluster, "certificate-authority", path),
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
        client_cert=_data(user, "client-certificate", path),
        client_key=_data(user, "client-key", path),
        server_name=cluster.get("tls-server-name"),
    )
    if not (user.get("token") or token_file or user.get("client-certificate-data") or user.get("client-certificate")):
        raise KubeconfigError(f"{path}: user {chosen.get('user')!r} has no token, token file or client certificate")
    return credentials


def credentials(host: HostConfig) -> tuple[HostCredentials, HostCredentials]:
    """The proxy's credential and the controller's. Raises KubeconfigError."""
    proxy, controller = host.kubeconfig, host.controller_kubeconfig
    if proxy is None or controller is None:
        return in_cluster("proxy"), in_cluster("controller")
    return load_kubeconfig(proxy), load_kubeconfig(controller)


def in_cluster(account: str, folder: Path = IN_CLUSTER) -> HostCredentials:
    """The credential of `proxy` or `controller` inside a pod. Raises KubeconfigError outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token, ca = folder / account / "token", folder / account / "ca.crt"
    if not host or not token.exists() or not ca.exists():
        raise KubeconfigError(
            f"not inside a pod with {folder / account} mounted: set host.kubeconfig and host.controllerKubeconfig"
        )
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return HostCredentials(server, ca=ca.read_bytes(), token_file=token)


def _named(document: dict[str, Any], section: str, name: object, inner: str, path: Path) -> dict[str, Any]:
    for entry in document.get(section) or ():
        if entry.get("name") == name:
            return dict(entry.get(inner) or {})
    raise KubeconfigError(f"{path}: no {inner} {name!r}")


def _data(section: dict[str, Any], key: str, path: Path) -> bytes | None:
    if f"{key}-data" in section:
        return base64.b64decode(section[f"{key}-data"])
    if key in section:
        return (path.parent / str(section[key])).read_bytes()
    return None
