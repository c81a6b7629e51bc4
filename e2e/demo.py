"""`make demo`: the main job, shown with real commands and their real output, and every step of it checked.

`acme$` and `globex$` are what the administrators of two tenants type, `host$` what the host's administrator types.
Exit code 0 only if everything held. Nothing is left running, whatever happens.
"""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from e2e.cluster.build import say
from e2e.cluster.host import start_host
from e2e.cluster.kubectl import Kubectl
from e2e.cluster.processes import ProcessError, signals_as_interrupts, undisturbed
from e2e.cluster.proxy import PROGRAM, RunningProxy, TenantCluster
from e2e.cluster.watch import Watch

ACME, GLOBEX = "acme", "globex"
IMAGE: Final = "registry.k8s.io/pause:3.10"
FIRST_NAMESPACES: Final = {"default", "kube-node-lease", "kube-public", "kube-system"}
NEXT: Final = """\
What to try next:
  make up       the same, left running: .dev/acme.kubeconfig, .dev/globex.kubeconfig, .dev/host.kubeconfig
  make down     stops it
  make test     everything that proves the program
  your cluster  VCPROXY_HOST_KUBECONFIG=~/.kube/config make demo"""


class Screen:
    """What the demo prints: titles, prompts with commands, their output, and what was checked."""

    def __init__(self, colours: bool) -> None:
        self._colours = colours
        self.checks = 0

    def title(self, text: str) -> None:
        self._print(f"\n{self._in('1', '# ' + text)}")

    def command(self, who: str, line: str) -> None:
        self._print(f"{self._in('36', who + '$')} {self._in('1', line)}")

    def output(self, text: str) -> None:
        if text.strip():
            self._print(text.rstrip())

    def check(self, what: str, holds: bool) -> None:
        """Say that it holds. Raises AssertionError where it does not."""
        if not holds:
            raise AssertionError(f"did not hold: {what}")
        self.checks += 1
        self._print(f"  {self._in('32', '✓')} {what}")

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def _print(self, text: str) -> None:
        print(text, flush=True)


class Person:
    """Somebody at a shell in `folder`: types kubectl and vcproxy, sees what they say."""

    def __init__(self, name: str, kubectl: Kubectl, screen: Screen, folder: Path) -> None:
        self.name, self.kubectl, self._screen, self._folder = name, kubectl, screen, folder

    def types(self, line: str, fails: bool = False) -> str:
        """Run a command line; its output. Raises AssertionError where it does not end as it should."""
        self._screen.command(self.name, line)
        words = shlex.split(line)
        program = list(PROGRAM) if words[0] == "vcproxy" else [str(self.kubectl.program)]
        done = subprocess.run(
            [*program, *words[1:]],
            env=self.kubectl.environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        self._screen.output(done.stdout)
        if bool(done.returncode) != fails:
            raise AssertionError(f"{self.name}$ {line}: exit code {done.returncode}")
        return done.stdout

    def asks(self, line: str) -> list[str]:
        """The names that a `kubectl get` finds; asked behind the scenes, to check what was shown."""
        found = json.loads(self.kubectl(*shlex.split(line)[1:], "-o", "json").stdout)
        return sorted(one["metadata"]["name"] for one in found["items"])

    def watches(self, line: str) -> Watch:
        self._screen.command(self.name, f"{line} &")
        return Watch(self.kubectl, *shlex.split(line)[1:])


class Story:
    """The steps, in the order in which they are told."""

    def __init__(self, screen: Screen, host: Person, acme: Person, globex: Person) -> None:
        self._screen, self._host, self._acme, self._globex = screen, host, acme, globex
        self._both = (acme, globex)

    def tell(self) -> None:
        """Raises AssertionError at the first thing that does not hold."""
        steps: tuple[Callable[[], None], ...] = (
            self._fresh_clusters,
            self._same_names,
            self._own_objects,
            self._own_events,
            self._refused,
            self._host_view,
            self._deletion,
        )
        for step in steps:
            step()

    def _fresh_clusters(self) -> None:
        self._screen.title("Each tenant has a cluster of its own: kubectl sees nothing of the other, nor of the host")
        for person in self._both:
            person.types("kubectl get namespaces")
            seen = set(person.asks("kubectl get namespaces"))
            self._screen.check(f"{person.name} sees the four namespaces of a new cluster", seen == FIRST_NAMESPACES)

    def _same_names(self) -> None:
        self._screen.title("Both use the same names")
        for person in self._both:
            person.types("kubectl create namespace web")
            person.types(f"kubectl create deployment shop -n web --image={IMAGE} --replicas=2")
        for person in self._both:
            person.types("kubectl rollout status deployment/shop -n web --timeout=120s")
            self._screen.check(f"{person.name}'s two pods run", self._replicas(person) == 2)

    def _own_objects(self) -> None:
        self._screen.title("Each sees one Deployment, its own")
        for person in self._both:
            shown = person.types("kubectl get deployments,pods -A -o wide")
            other = GLOBEX if person.name == ACME else ACME
            self._screen.check(
                f"{person.name} sees one Deployment and two pods",
                person.asks("kubectl get deployments -A") == ["shop"] and len(person.asks("kubectl get pods -A")) == 2,
            )
            self._screen.check(f"nothing in it names {other} or a prefix", other not in shown and "acme" not in shown)

    def _own_events(self) -> None:
        self._screen.title("Each watches only its own events, while both scale")
        line = "kubectl get deployment shop -n web -w --no-headers"
        with self._acme.watches(line) as first, self._globex.watches(line) as second:
            for watch in (first, second):
                watch.wait_for(lambda line: " 2/2 " in line)
            self._acme.types("kubectl scale deployment/shop -n web --replicas=3")
            first.wait_for(lambda line: " 3/3 " in line, 120)
            self._globex.types("kubectl scale deployment/shop -n web --replicas=1")
            second.wait_for(lambda line: " 1/1 " in line, 120)
            self._show_watch(self._acme, first)
            self._show_watch(self._globex, second)
        self._screen.check("acme's watch told of 3 and never of 1", _told(first, "/3") and not _told(first, "/1"))
        self._screen.check("globex's watch told of 1 and never of 3", _told(second, "/1") and not _told(second, "/3"))
        counts = (self._replicas(self._acme), self._replicas(self._globex))
        self._screen.check("acme has 3 replicas, globex 1", counts == (3, 1))

    def _show_watch(self, person: Person, watch: Watch) -> None:
        self._screen.output(f"--- what {person.name}'s watch said\n" + "\n".join(watch.lines))

    def _refused(self) -> None:
        self._screen.title("What belongs to the other does not exist, under any name")
        pod = self._acme.asks("kubectl get pods -n web")[0]
        refused = (
            ("kubectl get namespace acme-web", "not found"),
            ("kubectl create configmap hello -n acme-web", "not found"),
            (f"kubectl get pod {pod} -n web", "not found"),
            ("kubectl get flowschemas", "have a resource type"),
        )
        for line, words in refused:
            said = self._globex.types(line, fails=True)
            self._screen.check("refused, as by a cluster without it", words in said)
        node = self._globex.asks("kubectl get nodes")[0]
        said = self._globex.types(f"kubectl delete node {node}", fails=True)
        self._screen.check("nodes are seen, and stay the provider's", "can only be read" in said)
        said = self._globex.types("kubectl get namespaces --token=not-a-token", fails=True)
        self._screen.check("and without a credential there is nothing at all", "logged in" in said)

    def _host_view(self) -> None:
        self._screen.title("The host's administrator sees both, with ordinary kubectl")
        self._host.types("kubectl get tenants")
        self._host.types("kubectl get namespaces -L vcproxy.io/tenant")
        self._host.types("kubectl get deployments -A")
        for person in self._both:
            found = self._host.asks(f"kubectl get deployments -n {person.name}-web")
            self._screen.check(f"{person.name}'s Deployment stands in namespace {person.name}-web", found == ["shop"])

    def _deletion(self) -> None:
        self._screen.title("One tenant goes, the other stays")
        self._host.types(f"vcproxy tenant delete {GLOBEX} --wait")
        left = self._host.asks("kubectl get namespaces")
        self._screen.check("nothing of globex is left", not any(name.startswith("globex") for name in left))
        self._globex.types("kubectl get namespaces", fails=True)
        self._acme.types("kubectl get deployments -A")
        self._screen.check("acme goes on as before", self._replicas(self._acme) == 3)

    def _replicas(self, person: Person) -> int:
        found = person.kubectl.json("get", "deployment", "shop", "-n", "web")
        return int(found["status"].get("readyReplicas", 0))


def _told(watch: Watch, text: str) -> bool:
    return any(text in line for line in watch.lines)


class Demo:
    """Everything that the story needs, started and stopped again."""

    def __init__(self, screen: Screen, folder: Path) -> None:
        self._screen, self._folder = screen, folder

    def run(self, running: contextlib.ExitStack) -> None:
        """Raises ProcessError or AssertionError where something does not start or does not hold."""
        host = start_host(self._folder / "host")
        running.callback(host.stop)
        proxy = RunningProxy(host, self._folder / "proxy")
        running.callback(proxy.stop)
        proxy.start()
        say(f"vcproxy serves {proxy.url}")
        admin = Person("host", Kubectl(host.kubectl, host.kubeconfig), self._screen, self._folder)
        self._screen.title("One Kubernetes cluster, and vcproxy before it. Its administrator makes two tenants")
        tenants = [self._tenant(running, proxy, admin, name) for name in (ACME, GLOBEX)]
        Story(self._screen, admin, *tenants).tell()

    def _tenant(self, running: contextlib.ExitStack, proxy: RunningProxy, admin: Person, name: str) -> Person:
        start = time.monotonic()
        admin.types(f"vcproxy tenant create {name} --wait")
        seconds = time.monotonic() - start
        tenant = TenantCluster(proxy, name, self._folder)
        if not proxy.host.own:
            running.callback(proxy.cli, "tenant", "delete", name, "--wait", check=False)
        admin.types(f"vcproxy kubeconfig {name} --out {tenant.kubeconfig.name}")
        self._screen.check(f"{name} can be used, {seconds:.1f} s after it was asked for", tenant.kubeconfig.exists())
        return Person(name, tenant.kubectl, self._screen, self._folder)


def main() -> int:
    screen = Screen(sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    folder = Path(tempfile.mkdtemp(prefix="vcproxy-demo-"))
    start = time.monotonic()
    try:
        _run(screen, folder)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        say("interrupted; nothing is left running")
        return 130
    except (ProcessError, AssertionError, OSError, subprocess.SubprocessError) as error:
        _keep_logs(folder)
        say(f"\nthe demo FAILED after {screen.checks} checks: {error}\nlogs: {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print(f"\nAll {screen.checks} checks held, {time.monotonic() - start:.0f} s; nothing is left running.\n\n{NEXT}")
    return 0


def _run(screen: Screen, folder: Path) -> None:
    """The demo, with everything stopped again before this returns or raises."""
    running = contextlib.ExitStack()
    with signals_as_interrupts():
        try:
            Demo(screen, folder).run(running)
        finally:
            with undisturbed():
                running.close()


def _keep_logs(folder: Path) -> None:
    """Of a demo that failed the logs stay, the keys and data go."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".log":
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
