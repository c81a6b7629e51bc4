"""A plain HTTPS client for tests: what goes out and what comes back, byte by byte, without a Kubernetes library."""

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

JSON = "application/json"


class Answer(NamedTuple):
    """An answer, read whole. `document` is its JSON, or None."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body) if self.body[:1] in (b"{", b"[") else None


class Client:
    """Requests as the user of a kubeconfig. Everything received is kept in `received`, for scans."""

    def __init__(self, kubeconfig: Path, *, certificate: bool = False) -> None:
        """With `certificate` the user's client certificate is shown too, which comes before any token."""
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.token: str = user.get("token", "")
        parts = urlsplit(cluster["server"])
        self.host, self.port = parts.hostname or "", parts.port or 443
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        if certificate:
            self._show(user["client-certificate-data"], user["client-key-data"])
        self.received: list[bytes] = []

    def _show(self, *parts: str) -> None:
        """Show a certificate to the server from now on."""
        with tempfile.NamedTemporaryFile() as file:  # the ssl module reads key pairs from files only
            file.write(b"\n".join(map(base64.b64decode, parts)))
            file.flush()
            self._tls.load_cert_chain(file.name)

    def connect(self, timeout: float = 30.0) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self._tls)

    def tls_socket(self) -> ssl.SSLSocket:
        """A connection for tests that write their own bytes."""
        connection = self.connect()
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        return connection.sock

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        """One request on a connection of its own. A body that is no bytes is sent as JSON."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        bearer = self.token if token is None else token
        head = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        if raw is not None:
            head["Content-Type"] = JSON
        head |= dict(headers or {})
        connection = self.connect()
        try:
            connection.request(method, target, raw, {key: value for key, value in head.items() if value})
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()
        self.received += [answer.body, str(answer.headers).encode()]
        return answer

    def events(self, target: str, *, timeout: float = 20.0) -> Generator[dict[str, Any], None, None]:
        """The events of a watch as they come, until it ends; TimeoutError after `timeout` seconds of silence."""
        connection = self.connect(timeout)
        try:
            head = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request("GET", target, headers=head)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            while line := response.readline():
                self.received.append(line)
                yield json.loads(line)
        finally:
            connection.close()
