"""Tunnels with real kubectl into real pods: each test runs against the host itself, and then through vcproxy.

What the host's administrator gets from the API server is what a tenant must get from the proxy, over SPDY/3.1 and over
WebSocket. kubectl takes the one that the environment names, and with `-v=4` says which protocol it has agreed on.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.client import Client
from e2e.clients.websocket import CLOSE, ERROR, STDERR, STDIN, STDOUT, WebSocket, exec_target
from e2e.cluster.host import Host
from e2e.cluster.images import AGNHOST, BUSYBOX
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.proxy import TenantCluster
from e2e.cluster.watch import Watch
from e2e.conftest import TenantFactory
from e2e.scan import leaks

pytestmark = pytest.mark.real_nodes

MEGABYTE: Final = 1 << 20
BIG: Final = 100 * MEGABYTE
WIRES: Final = {"spdy": "false", "websocket": "true"}
SPOKEN: Final = {"spdy": "", "websocket": "v5.channel.k8s.io"}
"""What kubectl says of exec. Of SPDY it says nothing."""
TUNNELLED: Final = 'Negotiation complete" protocol="portforward.k8s.io"'
LINES: Final = 'echo "run $(cat /tmp/run 2>/dev/null)"; for i in 1 2 3 4 5; do echo line $i; sleep 0.4; done'
MANIFEST: Final = f"""
apiVersion: v1
kind: Pod
metadata: {{name: box, namespace: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: box, image: "{BUSYBOX}", command: [sleep, infinity]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: site, namespace: web, labels: {{app: site}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: site, image: "{AGNHOST}", args: [netexec, --http-port=8080]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: site, namespace: web}}
spec:
  selector: {{app: site}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
"""


@dataclass(frozen=True)
class Side:
    """Somebody with a namespace `web` and the pods of MANIFEST in it."""

    name: str
    kubectl: Kubectl

    def web(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.kubectl(*arguments[:1], "-n", "web", *arguments[1:], **options)

    def over(self, wire: str) -> "Side":
        """The same where kubectl speaks only that protocol first."""
        wanted = WIRES[wire]
        settings = dict.fromkeys(("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"), wanted)
        return Side(self.name, self.kubectl.with_settings(**settings))


@pytest.fixture(scope="module")
def tenant(real_tenant_factory: TenantFactory) -> TenantCluster:
    return real_tenant_factory()


@pytest.fixture(scope="module", params=["host", "tenant"])
def side(request: pytest.FixtureRequest, real_host: Host) -> Side:
    if request.param == "host":
        return with_pods(Side("host", Kubectl(real_host.kubectl, real_host.kubeconfig)))
    tenant: TenantCluster = request.getfixturevalue("tenant")
    return with_pods(Side("tenant", tenant.kubectl))


def with_pods(side: Side) -> Side:
    side.kubectl("create", "namespace", "web")
    side.kubectl("wait", "serviceaccount/default", "-n", "web", "--for=create", "--timeout=60s")
    side.kubectl("apply", "-f", "-", input=MANIFEST)
    side.web("wait", "pod/box", "pod/site", "--for=condition=Ready", "--timeout=80s")
    return side


@pytest.fixture(params=list(WIRES))
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# exec


def test_exec_keeps_output_errors_and_exit_code_apart(side: Side, wire: str) -> None:
    script = "echo out; echo err >&2; exit 7"
    done = side.over(wire).web("exec", "box", "--", "sh", "-c", script, check=False)
    assert done.stdout == "out\n"
    assert done.stderr == "err\ncommand terminated with exit code 7\n"
    assert done.returncode == 7


def test_kubectl_speaks_the_protocol_that_it_was_told(side: Side, wire: str) -> None:
    done = side.over(wire).web("exec", "box", "-v=4", "--", "true")
    spoken = re.findall(r'Subprotocol negotiated" protocol="([^"]+)"', done.stderr)
    assert "".join(spoken) == SPOKEN[wire]
    assert "fallback" not in done.stderr


def test_exec_reads_what_is_typed_and_sees_its_end(side: Side, wire: str) -> None:
    done = side.over(wire).web("exec", "-i", "box", "--", "sh", "-c", "cat; echo ended", input="one\ntwo\n")
    assert done.stdout == "one\ntwo\nended\n"


def test_many_execs_at_once_do_not_mix(side: Side, wire: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        said = pool.map(lambda n: side.over(wire).web("exec", "box", "--", "sh", "-c", f"sleep 1; echo {n}"), range(6))
        assert [one.stdout for one in said] == [f"{n}\n" for n in range(6)]


def test_a_terminal_has_its_size_and_learns_of_a_new_one(side: Side, wire: str) -> None:
    with Terminal(side.over(wire).kubectl, 31, 97, "exec", "-n", "web", "-it", "box", "--", "sh") as terminal:
        terminal.type("stty size; echo first\n")
        assert "31 97" in terminal.read_until("\nfirst")
        terminal.resize(42, 123)
        terminal.type("while [ $(stty size | cut -d' ' -f1) = 31 ]; do sleep 0.1; done; stty size; echo second\n")
        assert "42 123" in terminal.read_until("\nsecond")
        terminal.type("exit 5\n")
        assert terminal.wait() == 5


def test_an_interrupt_key_reaches_the_program_in_the_terminal(side: Side, wire: str) -> None:
    with Terminal(side.over(wire).kubectl, 24, 80, "exec", "-n", "web", "-it", "box", "--", "sh") as terminal:
        terminal.type("echo re''ady; sleep 600\n")
        terminal.read_until("ready")
        terminal.type("\x03")
        terminal.type("echo co''de $?\n")
        assert "code 130" in terminal.read_until("code 1")
        terminal.type("exit\n")
        terminal.wait()


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """100 MB that cannot be compressed."""
    path = tmp_path_factory.mktemp("big") / "big"
    with path.open("wb") as file:
        for _ in range(BIG // MEGABYTE):
            file.write(os.urandom(MEGABYTE))
    yield path
    path.unlink()


def test_100_megabytes_go_in_whole(side: Side, wire: str, big_file: Path) -> None:
    said = piped(side.over(wire).kubectl, big_file, "exec", "-n", "web", "-i", "box", "--", "sha256sum")
    assert said.split()[0].decode() == checksum(big_file)


def test_100_megabytes_come_back_whole(side: Side, wire: str, big_file: Path, tmp_path: Path) -> None:
    back = tmp_path / "back"
    with back.open("wb") as target:
        piped(side.over(wire).kubectl, big_file, "exec", "-n", "web", "-i", "box", "--", "cat", target=target)
    assert checksum(back) == checksum(big_file)
    back.unlink()


def test_a_client_that_goes_away_ends_the_program(side: Side, wire: str) -> None:
    """The program's input ends with the tunnel."""
    child = side.over(wire).kubectl
    script = "touch /tmp/here; cat > /dev/null; rm /tmp/here"
    with subprocess.Popen(
        [str(child.program), "exec", "-n", "web", "-i", "box", "--", "sh", "-c", script],
        env=child.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        wait_until(lambda: exists(side, "/tmp/here"))
        running.kill()
    wait_until(lambda: not exists(side, "/tmp/here"))


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
def test_a_websocket_of_either_version_carries_every_channel(side: Side, protocol: str) -> None:
    """kubectl asks for v5 alone, older clients for v4, in which nothing says that the input has ended."""
    target = exec_target("web", "box", ["sh", "-c", "read line; echo $line; echo err >&2; exit 7"], stdin=True)
    with WebSocket(client_of(side), target, protocol) as tunnel:
        assert tunnel.protocol == protocol
        tunnel.send(STDIN, b"typed\n")
        said = tunnel.rest()
    assert (said[STDOUT], said[STDERR]) == (b"typed\n", b"err\n")
    ended = json.loads(said[ERROR])
    assert (ended["reason"], ended["details"]["causes"]) == (
        "NonZeroExitCode",
        [{"reason": "ExitCode", "message": "7"}],
    )


def test_only_version_five_can_end_the_input(side: Side) -> None:
    target = exec_target("web", "box", ["cat"], stdin=True)
    with WebSocket(client_of(side), target, "v5.channel.k8s.io") as tunnel:
        tunnel.send(STDIN, b"all\n")
        tunnel.send(CLOSE, bytes((STDIN,)))
        said = tunnel.rest()
    assert said[STDOUT] == b"all\n"
    assert json.loads(said[ERROR])["status"] == "Success"


# cp


def test_cp_brings_files_in_and_out(side: Side, wire: str, tmp_path: Path) -> None:
    mine, back = tmp_path / "mine", tmp_path / "back"
    mine.write_bytes(os.urandom(5 * MEGABYTE))
    side.over(wire).kubectl("cp", str(mine), "web/box:/tmp/copied")
    assert checksum(mine) in side.web("exec", "box", "--", "sha256sum", "/tmp/copied").stdout
    side.over(wire).kubectl("cp", "web/box:/tmp/copied", str(back))
    assert checksum(back) == checksum(mine)


def test_cp_brings_folders(side: Side, wire: str, tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "file").write_text("x")
    side.over(wire).kubectl("cp", str(tmp_path / "folder"), f"web/box:/tmp/{wire}")
    side.over(wire).kubectl("cp", f"web/box:/tmp/{wire}", str(tmp_path / "back"))
    assert (tmp_path / "back" / "deep" / "file").read_text() == "x"


# attach and debug


def test_attach_types_into_the_running_program(side: Side, wire: str) -> None:
    name = f"talker-{wire}"
    script = "while read line; do echo got $line; done; echo bye"
    overrides = {"spec": {"terminationGracePeriodSeconds": 0}}
    side.web("run", name, f"--image={BUSYBOX}", "--restart=Never", "--stdin", "--attach=false",
             f"--overrides={json.dumps(overrides)}", "--", "sh", "-c", script)  # fmt: skip
    side.web("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
    done = side.over(wire).web("attach", "-i", name, input="one\ntwo\n")
    assert done.stdout == "got one\ngot two\nbye\n"
    side.web("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")


def test_run_with_rm_shows_the_output_and_leaves_nothing(side: Side, wire: str) -> None:
    name = f"once-{wire}"
    done = side.over(wire).web("run", name, f"--image={BUSYBOX}", "--restart=Never", "--rm", "-i", "--", "cat",
                               input="hello\n")  # fmt: skip
    assert "hello\n" in done.stdout
    assert "NotFound" in side.web("get", "pod", name, check=False).stderr


def test_debug_adds_a_container_that_sees_the_pods_processes(side: Side, wire: str) -> None:
    command = ("debug", "-n", "web", "box", "-it", f"--image={BUSYBOX}", f"--container=eyes-{wire}", "--target=box")
    with Terminal(side.over(wire).kubectl, 24, 80, *command, "--", "sh") as terminal:
        terminal.read_until("# ")
        terminal.type("ps; echo se''en\n")
        assert "sleep infinity" in terminal.read_until("seen")
        terminal.type("exit\n")
        terminal.wait()
    found = side.kubectl.json("get", "pod", "box", "-n", "web")["spec"]["ephemeralContainers"]
    assert f"eyes-{wire}" in {one["name"] for one in found}


# logs


def test_logs_are_followed_to_the_end_of_the_container_and_again_after_its_restart(side: Side) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "chatty", "namespace": "web"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "chatty", "image": BUSYBOX, "command": ["sh", "-c", LINES]}],
        },
    }
    side.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    side.web("wait", "pod/chatty", "--for=condition=Ready", "--timeout=60s")
    first = side.web("logs", "-f", "chatty")
    assert first.stdout.endswith("line 1\nline 2\nline 3\nline 4\nline 5\n")
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    side.web("wait", "pod/chatty", f"--for={restarted}", "--timeout=60s")
    assert side.web("logs", "--previous", "chatty").stdout == first.stdout
    assert side.web("logs", "-f", "chatty").stdout == first.stdout
    side.web("delete", "pod", "chatty", "--now")


def test_followed_logs_come_as_they_are_written(side: Side) -> None:
    script = "echo early; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo late"
    side.web("run", "slow", f"--image={BUSYBOX}", "--restart=Never", "--", "sh", "-c", script)
    side.web("wait", "pod/slow", "--for=condition=Ready", "--timeout=60s")
    with Watch(side.kubectl, "logs", "-n", "web", "-f", "slow") as logs:
        logs.wait_for(lambda line: line == "early")
        side.web("exec", "slow", "--", "touch", "/tmp/go")
        logs.wait_for(lambda line: line == "late")
    side.web("delete", "pod", "slow", "--now")


def test_logs_have_their_options(side: Side) -> None:
    side.web("run", "counted", f"--image={BUSYBOX}", "--restart=Never", "--", "seq", "10")
    side.web("wait", "pod/counted", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert side.web("logs", "counted", "--tail=2").stdout == "9\n10\n"
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z 1\n", side.web("logs", "counted", "--timestamps").stdout)
    assert side.web("logs", "counted", "--limit-bytes=4").stdout == "1\n2\n"


# port-forward


def test_port_forward_carries_connections_side_by_side(side: Side, wire: str) -> None:
    with forwarded(side.over(wire), "pod/site", "8080") as (port, _), ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: fetch(port, f"/echo?msg=call-{n}"), range(40))
        assert list(answers) == [f"call-{n}".encode() for n in range(40)]


def test_port_forward_to_a_service_and_with_the_protocol_that_was_told(side: Side, wire: str) -> None:
    with forwarded(side.over(wire), "service/site", "80", "-v=4") as (port, words):
        assert fetch(port, "/hostname") == b"site"
    assert any(TUNNELLED in line for line in words) is (wire == "websocket")
    assert not any("fallback" in line for line in words)


def test_port_forward_to_a_port_where_nobody_listens_ends_that_connection_alone(side: Side, wire: str) -> None:
    with forwarded(side.over(wire), "pod/box", "9") as (port, words):
        with pytest.raises((urllib.error.URLError, http.client.HTTPException, ConnectionError)):
            fetch(port, "/")
        wait_until(lambda: any("error" in line.lower() for line in words))


def test_port_forward_brings_much(side: Side, wire: str) -> None:
    size = 20 * MEGABYTE
    script = urllib.parse.quote(f"head -c {size} /dev/zero | tr '\\0' x > /tmp/much; sha256sum /tmp/much")
    with forwarded(side.over(wire), "pod/site", "8080") as (port, _):
        said = json.loads(fetch(port, f"/shell?cmd={script}"))
        assert hashlib.sha256(b"x" * size).hexdigest() in json.dumps(said)
        much = json.loads(fetch(port, f"/shell?cmd={urllib.parse.quote('cat /tmp/much')}"))
        assert len(much["output"]) == size


# proxies of pods and services


@pytest.mark.parametrize("target", ["pods/site:8080", "services/site:http", "services/site:80"])
def test_a_pod_and_a_service_are_reached_with_path_and_query(side: Side, target: str) -> None:
    base = f"/api/v1/namespaces/web/{target}/proxy"
    assert side.kubectl("get", "--raw", f"{base}/hostname").stdout == "site"
    asked = side.kubectl("get", "--raw", f"{base}/echo?msg=a%20b%2Fc&x=1").stdout
    assert asked == "a b/c"


@pytest.mark.parametrize("target", ["pods/site:8080", "services/site:80"])
def test_a_post_through_the_proxy_carries_its_body(side: Side, tmp_path: Path, target: str) -> None:
    body = tmp_path / "body"
    body.write_text('{"a": 1}')
    base = f"/api/v1/namespaces/web/{target}/proxy"
    assert side.kubectl("create", "--raw", f"{base}/echo?msg=posted", "-f", str(body)).stdout == "posted"


def test_kubectl_proxy_serves_the_cluster_on_loopback(side: Side) -> None:
    with started(side.kubectl, r"Starting to serve on 127\.0\.0\.1:(\d+)", "proxy", "--port=0") as (port, _):
        names = {one["metadata"]["name"] for one in json.loads(fetch(port, "/api/v1/namespaces/web/pods"))["items"]}
        assert {"box", "site"} <= names
        assert fetch(port, "/api/v1/namespaces/web/services/site:http/proxy/hostname") == b"site"


def test_a_backend_that_does_not_answer_is_503_with_a_status(side: Side) -> None:
    done = side.kubectl("get", "--raw", "/api/v1/namespaces/web/pods/box:9/proxy/", check=False)
    assert done.returncode == 1
    assert "ServiceUnavailable" in done.stderr


# What the host does and a tenant must not get


@pytest.fixture
def client(tenant: TenantCluster, side: Side) -> Client:
    """Bytes of our own, as the tenant."""
    assert side.name == "tenant"
    return Client(tenant.kubeconfig)


tenant_only = pytest.mark.parametrize("side", ["tenant"], indirect=True)
SITE: Final = "/api/v1/namespaces/web/pods/site:8080/proxy"


@tenant_only
@pytest.mark.parametrize("location", ["/hostname", "http://elsewhere.example/x", "http://{pod}:8080/hostname"])
def test_a_redirect_of_the_backend_is_not_followed_and_never_names_the_host(
    client: Client, side: Side, real_host: Host, tenant: TenantCluster, location: str
) -> None:
    address = side.kubectl.json("get", "pod", "site", "-n", "web")["status"]["podIP"]
    wanted = urllib.parse.quote(location.format(pod=address), safe="")
    answer = client.call("GET", f"{SITE}/redirect?code=302&location={wanted}")
    assert answer.code == 302
    hosts = yaml.safe_load(real_host.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    shown = str(answer.headers)
    assert urllib.parse.urlsplit(hosts).netloc not in shown
    assert f"{tenant.id}-" not in shown


@tenant_only
def test_a_backend_sees_neither_the_tenants_token_nor_the_hosts_user(client: Client) -> None:
    for name in ("Authorization", "Impersonate-User"):
        answer = client.call("GET", f"{SITE}/header?key={name}")
        assert answer.code == 200
        assert answer.body.strip() == b""


@tenant_only
def test_a_form_is_posted_to_a_backend(client: Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.call("POST", f"{SITE}/echo", b"msg=from+a+form", headers=form).body == b"from a form"


@tenant_only
@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("pods/nobody/exec?command=true&stdout=1", 404, 'pods "nobody" not found'),
        ("pods/box/exec?command=true&container=none&stdout=1", 400, "container none is not valid for pod box"),
        ("pods/nobody/attach?stdout=1", 404, 'pods "nobody" not found'),
        ("pods/nobody/portforward", 404, 'pods "nobody" not found'),
    ],
)
@pytest.mark.parametrize(
    "upgrade",
    [
        ("POST", {"Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}),
        (
            "GET",
            {
                "Upgrade": "websocket",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
            },
        ),
    ],
    ids=["spdy", "websocket"],
)
def test_a_refused_upgrade_is_a_status_in_the_tenants_words_and_the_end(
    client: Client, tenant: TenantCluster, upgrade: tuple[str, dict[str, str]], target: str, code: int, message: str
) -> None:
    method, headers = upgrade
    raw = exchange(client, method, f"/api/v1/namespaces/web/{target}", headers)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == code
    assert json.dumps(message)[1:-1] in body.decode()
    assert leaks([raw], [f"{tenant.id}-", f"tenant:{tenant.id}"]) == []


@tenant_only
@pytest.mark.parametrize("command", [("exec", "box", "--", "true"), ("attach", "box"), ("port-forward", "box", ":80")])
def test_a_pod_of_another_tenant_is_not_there(
    side: Side, tenant: TenantCluster, stranger: TenantCluster, wire: str, command: tuple[str, ...]
) -> None:
    """Neither by the name that it has for its own tenant, nor by the host's."""
    settings = side.over(wire).kubectl.environment
    kubectl = stranger.kubectl.with_settings(
        **{name: settings[name] for name in ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS")}
    )
    for namespace in ("web", f"{tenant.id}-web"):
        done = kubectl(command[0], "-n", namespace, *command[1:], check=False)
        assert done.returncode == 1
        assert "NotFound" in done.stderr
    assert leaks(stranger.received, [f"vcproxy:tenant:{tenant.id}", f"{stranger.id}-"]) == []


@pytest.fixture(scope="module")
def stranger(real_tenant_factory: TenantFactory) -> TenantCluster:
    made = real_tenant_factory()
    made.kubectl("create", "namespace", "web")
    return made


@tenant_only
@pytest.mark.parametrize("command", [("exec", "box", "--", "true"), ("attach", "box"), ("port-forward", "box", ":80")])
def test_who_has_no_rights_is_forbidden(
    side: Side, tenant: TenantCluster, wire: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    config = tenant.write_kubeconfig(tmp_path / "carol.kubeconfig", "--user", "carol", "--group", "nobody")
    carol = Side("carol", Kubectl(side.kubectl.program, config)).over(wire)
    done = carol.web(*command, check=False)
    assert done.returncode == 1
    assert "Forbidden" in done.stderr


@tenant_only
@pytest.mark.parametrize("target", ["pods/box/exec?command=true", "pods/box/attach", "pods/box/portforward"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_tunnel_without_rights_is_forbidden_as_create(
    side: Side, tenant: TenantCluster, tmp_path: Path, method: str, target: str
) -> None:
    """A WebSocket begins with a GET; reading pods must not be enough for it."""
    del side
    client = Client(tenant.write_kubeconfig(tmp_path / "carol.kubeconfig", "--user", "carol", "--group", "nobody"))
    answer = client.call(method, f"/api/v1/namespaces/web/{target}")
    assert answer.code == 403
    part = target.split("?")[0].split("/")[2]
    assert f'cannot create resource "pods/{part}"' in answer.document["message"]


@tenant_only
def test_nothing_that_kubectl_said_names_the_host_side(side: Side, tenant: TenantCluster) -> None:
    assert side.name == "tenant"
    assert leaks(tenant.received, [f"{tenant.id}-", f"tenant:{tenant.id}"]) == []


# Helpers


def client_of(side: Side) -> Client:
    """Bytes of our own, as whoever it is."""
    return Client(side.kubectl.kubeconfig, certificate=side.name == "host")


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def piped(kubectl: Kubectl, source: Path, *arguments: str, target: Any = subprocess.PIPE) -> bytes:
    """Its output, or nothing where that goes into `target`. Input and output are files: nothing of it is in memory."""
    with source.open("rb") as given:
        done = subprocess.run(
            [str(kubectl.program), *arguments],
            env=kubectl.environment,
            stdin=given,
            stdout=target,
            stderr=subprocess.PIPE,
            timeout=90,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout or b""


def exists(side: Side, path: str) -> bool:
    return side.web("exec", "box", "--", "test", "-e", path, check=False).returncode == 0


def wait_until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not so after {seconds:.0f} s"
        time.sleep(0.2)


def fetch(port: int, path: str) -> bytes:
    """A GET on a connection of its own, by a client that goes through no proxy of the machine. Raises OSError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        body: bytes = answer.read()
    return body


@contextlib.contextmanager
def started(kubectl: Kubectl, words: str, *arguments: str) -> Iterator[tuple[int, list[str]]]:
    """A kubectl that serves a port: the port, which `words` finds in what it says, and all its lines so far."""
    with Watch(kubectl, *arguments) as watch:
        line = watch.wait_for(lambda line: re.search(words, line) is not None)
        found = re.search(words, line)
        assert found is not None
        yield int(found[1]), watch.lines


def forwarded(side: Side, target: str, port: str, *options: str) -> Any:
    """`with forwarded(...) as (port, lines)`."""
    words = r"Forwarding from 127\.0\.0\.1:(\d+)"
    return started(side.kubectl, words, "port-forward", "-n", "web", target, f":{port}", *options)


def exchange(client: Client, method: str, target: str, headers: dict[str, str]) -> bytes:
    """Everything that is answered until the other side closes; TimeoutError where it does not."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {client.host}", f"Authorization: Bearer {client.token}"]
    lines += ["Connection: Upgrade", *(f"{name}: {value}" for name, value in headers.items())]
    lines += ["Content-Length: 0"] if method == "POST" else []
    received = b""
    with client.tls_socket() as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        while chunk := connection.recv(65536):
            received += chunk
    return received


class Terminal:
    """kubectl in a terminal of a given size."""

    def __init__(self, kubectl: Kubectl, rows: int, columns: int, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.resize(rows, columns, tell=False)
        self._child = subprocess.Popen(
            [str(kubectl.program), *arguments],
            env={**kubectl.environment, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._said = ""

    def resize(self, rows: int, columns: int, tell: bool = True) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self._child.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def read_until(self, words: str, seconds: float = 30.0) -> str:
        """What was said since the last time, as soon as `words` are in it."""
        end = time.monotonic() + seconds
        os.set_blocking(self._master, False)
        while words not in self._said:
            assert time.monotonic() < end, f"no {words!r} in {self._said!r}"
            with contextlib.suppress(BlockingIOError):
                self._said += os.read(self._master, 65536).decode(errors="replace")
            time.sleep(0.02)
        said, self._said = self._said, ""
        return said

    def wait(self) -> int:
        return self._child.wait(30)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._master)
