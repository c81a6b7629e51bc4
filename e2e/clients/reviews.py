"""A token webhook: a small HTTPS server in this process that answers TokenReviews of authentication.k8s.io/v1."""

import json
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from e2e.cluster.processes import free_ports
from vcproxy.access import certificates

HOST: Final = "127.0.0.1"
PATH: Final = "/review"


class ReviewServer:
    """Knows `people`: a UserInfo by token. `asked` holds every review that came. `start` again after `stop`."""

    def __init__(self) -> None:
        authority = certificates.make_ca()
        self.ca = authority.certificate.decode()
        self._serving = certificates.make_serving(authority, [HOST])
        self._port = free_ports(1)[0]
        self.url = f"https://{HOST}:{self._port}{PATH}"
        self.people: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listening from now on."""
        server = ThreadingHTTPServer((HOST, self._port), self._handler())
        server.daemon_threads = True
        server.socket = self._context().wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def tokens(self) -> list[str]:
        """Those that were asked about, in order."""
        return [str(review["spec"]["token"]) for review in self.asked]

    def review(self, review: dict[str, Any]) -> dict[str, Any]:
        """The answer to a review."""
        self.asked.append(review)
        user = self.people.get(review["spec"]["token"])
        found = {"authenticated": True, "user": user} if user is not None else {"authenticated": False}
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "status": found}

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:  # the ssl module reads key pairs from files only
            file.write(self._serving.pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if self.path != PATH:
                    self.send_error(404)
                    return
                length = int(self.headers["Content-Length"])
                body = json.dumps(desk.review(json.loads(self.rfile.read(length)))).encode()
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Tokens are not for logs."""

        return Handler
