"""A real OIDC provider (npm's certified `oidc-provider`), pinned in oidc/package-lock.json and run by node."""

import base64
import hashlib
import http.client
import json
import re
import secrets
import shutil
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Final

from e2e.cluster.processes import Process, Processes, free_ports
from vcproxy.access import certificates

SOURCE: Final = Path(__file__).parent / "oidc"
FOLDER: Final = Path(__file__).parents[2] / ".dev" / "oidc"
INSTALL_DEADLINE: Final = 240.0
READY: Final = 30.0
BACK: Final = "https://client.example.com/back"


def failure(folder: Path = FOLDER) -> str:
    """Why this machine cannot run the provider; "" when it can, and its packages are in `folder` then."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "OIDC provider: node and npm are not on this machine"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "server.mjs"):
        shutil.copy(SOURCE / name, folder / name)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        return "OIDC provider: its packages did not come in time"
    return "OIDC provider: its packages cannot be had" if done.returncode else ""


class RunningProvider:
    """The provider, in a folder that `failure` has prepared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(1)[0]
        self.url = f"https://127.0.0.1:{self._port}"
        authority = certificates.make_ca()
        serving = certificates.make_serving(authority, ["127.0.0.1"])
        self.ca = authority.certificate.decode()
        (folder / "tls.crt").write_bytes(serving.certificate)
        (folder / "tls.key").write_bytes(serving.key)
        self._processes = Processes()
        self._process: Process | None = None

    def start(self) -> None:
        """With a new signing key. Raises ProcessError."""
        command = [str(shutil.which("node")), str(self._folder / "server.mjs"), str(self._port)]
        command += [str(self._folder / "tls.crt"), str(self._folder / "tls.key"), "devs,ops"]
        self._process = Process("oidc", command, self._folder / "oidc.log")
        self._processes.add(self._process)
        self._processes.wait_until("the OIDC provider listens", self._listens, READY)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(5)

    def id_token(self, user: str, client: str = "cluster") -> str:
        """What a browser gets after a login and a consent: authorization code with PKCE (RFC 7636)."""
        browser = _Browser(self.ca)
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"client_id": client, "response_type": "code", "scope": "openid", "redirect_uri": BACK}
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        form = browser.open(f"{self.url}/auth?{urllib.parse.urlencode(asked)}")
        form = browser.post(form, {"prompt": "login", "login": user, "password": "any"})
        back = browser.post(form, {"prompt": "consent"})
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"][0]
        exchange = {"grant_type": "authorization_code", "client_id": client, "code": code}
        exchange |= {"redirect_uri": BACK, "code_verifier": verifier}
        return str(browser.json(f"{self.url}/token", exchange)["id_token"])

    def _listens(self) -> bool:
        try:
            return "issuer" in _Browser(self.ca).json(f"{self.url}/.well-known/openid-configuration")
        except (OSError, http.client.HTTPException):
            return False


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by hand: the last one leads to an address where nobody is."""

    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        return None


class _Browser:
    """Cookies, redirects and forms, as far as a login needs them."""

    def __init__(self, ca: str) -> None:
        context = ssl.create_default_context(cadata=ca)
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), cookies, _Stay)
        self._base = ""

    def open(self, url: str, form: dict[str, str] | None = None) -> str:
        """The address of the form on the page that is reached in the end, or the address back at the client."""
        for _ in range(10):
            if url.startswith(BACK):
                return url
            self._base = url
            data = urllib.parse.urlencode(form).encode() if form is not None else None
            try:
                with self._opener.open(url, data, timeout=10) as answer:
                    page = answer.read().decode()
                found = re.search(r'<form[^>]* action="([^"]+)"', page)
                assert found, page
                return urllib.parse.urljoin(url, str(found[1]))
            except urllib.error.HTTPError as moved:
                if moved.code not in (302, 303):
                    raise
                url, form = urllib.parse.urljoin(url, moved.headers["Location"]), None
        raise AssertionError("the provider leads in circles")

    def post(self, url: str, form: dict[str, str]) -> str:
        return self.open(url, form)

    def json(self, url: str, form: dict[str, str] | None = None) -> Any:
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        with self._opener.open(url, data, timeout=10) as answer:
            return json.load(answer)
