"""What vcproxy is measured against: plain proxies that rewrite nothing, same certificates, same host behind them."""

import os
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from e2e.bench.measure import Target
from e2e.cluster.processes import Process, ProcessError, Processes, free_ports

READY: Final = 20.0
NGINX_FOLDERS: Final = "/usr/sbin:/usr/local/sbin:/opt/nginx/sbin"
"""Where Debian and others put it; often not on the PATH."""
NGINX: Final = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes auto;
worker_rlimit_nofile 16384;
{user}
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $switching {{ default upgrade; "" ""; }}
  upstream host {{ server {host}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {pki}/serving.crt;
    ssl_certificate_key {pki}/serving.key;
    location / {{
      proxy_pass https://host;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 600s;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $switching;
      proxy_set_header Authorization "";
      proxy_ssl_certificate {pki}/admin.crt;
      proxy_ssl_certificate_key {pki}/admin.key;
      proxy_ssl_trusted_certificate {pki}/ca.crt;
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
    }}
  }}
}}
"""


def go_proxy(processes: Processes, tools: Path, folder: Path, pki: Path, host: str) -> Target:
    """httputil.ReverseProxy with FlushInterval -1, as the host's administrator. Raises ProcessError."""
    (port,) = free_ports(1)
    command = [str(tools / "proxy"), *_sides(pki), "-target", host, "-listen", f"127.0.0.1:{port}"]
    return _started(processes, Process("go-proxy", command, folder / "go-proxy.log"), "go", port, pki)


def replay_host(processes: Processes, tools: Path, folder: Path, pki: Path, host: str, paths: list[str]) -> str:
    """A host that answers some paths from memory: its URL. Raises ProcessError."""
    (port,) = free_ports(1)
    command = [str(tools / "replay"), *_sides(pki), "-target", host, "-listen", f"127.0.0.1:{port}"]
    process = Process("replay", [*command, "-paths", ",".join(paths)], folder / "replay.log")
    return _started(processes, process, "replay", port, pki).url


def nginx(processes: Processes, folder: Path, pki: Path, host: str) -> Target | None:
    """nginx as a plain proxy with immediate answers; None where it is not installed. Raises ProcessError."""
    program = shutil.which("nginx") or shutil.which("nginx", path=NGINX_FOLDERS)
    if program is None:
        return None
    (port,) = free_ports(1)
    own = folder / "nginx"
    own.mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""  # its workers read keys that only their owner may read
    text = NGINX.format(folder=own, host=host.removeprefix("https://"), port=port, pki=pki, user=user)
    (own / "nginx.conf").write_text(text)
    command = [program, "-p", str(own), "-c", str(own / "nginx.conf")]
    return _started(processes, Process("nginx", command, folder / "nginx.log"), "nginx", port, pki)


def relay(processes: Processes, folder: Path, pki: Path, host: str, watch: str) -> Target:
    """The least that a watch could cost (e2e.bench.relay), for one target on the host. Raises ProcessError."""
    (port,) = free_ports(1)
    name, _, host_port = host.removeprefix("https://").rpartition(":")
    sides = [word.replace("-", "--", 1) if word.startswith("-") else word for word in _sides(pki)]
    command = [sys.executable, "-m", "e2e.bench.relay", *sides, "--host", name, "--port", host_port]
    process = Process("relay", [*command, "--watch", watch, "--listen", str(port)], folder / "relay.log")
    return _started(processes, process, "relay", port, pki)


def _sides(pki: Path) -> list[str]:
    """Certificates towards the clients and towards the host."""
    files = {"-ca": "ca.crt", "-cert": "serving.crt", "-key": "serving.key"}
    files |= {"-client-cert": "admin.crt", "-client-key": "admin.key"}
    return [word for flag, file in files.items() for word in (flag, str(pki / file))]


def _started(processes: Processes, process: Process, name: str, port: int, pki: Path) -> Target:
    processes.add(process)
    processes.wait_until(f"{process.name} answers", _answers(port, pki), READY)
    if not process.pid:
        raise ProcessError(f"{process.name} ended:\n{process.tail()}")
    return Target(name, f"https://127.0.0.1:{port}", ("-ca", str(pki / "ca.crt")), process.pid)


def _answers(port: int, pki: Path) -> Callable[[], bool]:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))

    def probe() -> bool:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/version", timeout=2, context=context):
                return True
        except urllib.error.HTTPError as error:
            return error.code < 500

    return probe
