"""`make up` and `make down`: cluster, proxy and the tenants acme and globex, left running for people.

One supervisor owns everything that runs; `.dev/pids` names it and its children, `.dev/log/` has their words,
`.dev/*.kubeconfig` are what people use. `down` ends the supervisor, which stops its children in order.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn, TextIO

from e2e.cluster.bridge import MOST_NODES, sweep_abandoned
from e2e.cluster.build import say
from e2e.cluster.host import start_host
from e2e.cluster.pids import read_pids, write_pids
from e2e.cluster.preflight import install_packages
from e2e.cluster.processes import ProcessError, signals_as_interrupts, undisturbed
from e2e.cluster.proxy import RunningProxy, TenantCluster

ROOT: Final = Path(__file__).parent.parent
TENANTS: Final = ("acme", "globex")
REAL: Final = "real:"
GRACE: Final = 90.0
"""Seconds that the supervisor has to stop everything."""


class Dev:
    """The folder `.dev/` and what may be done with it. `real_nodes` stand in for fake ones, if there are any."""

    def __init__(self, folder: Path, real_nodes: int = 0) -> None:
        self.folder, self.real_nodes = folder, real_nodes
        self.pids = folder / "pids"
        self.ready = folder / "ready"
        self.run_folder = folder / "run"
        self.log = folder / "log" / "up.log"

    def kubeconfig(self, name: str) -> Path:
        return self.folder / f"{name}.kubeconfig"

    # up

    def up(self) -> int:
        """Start the supervisor and wait until everything can be used. Where it runs already, only say so."""
        if self.ready.exists() and any(one.alive for one in read_pids(self.pids) if one.name == "supervisor"):
            say("it is running already")
            self._tell()
            return 0
        self.down(quiet=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "e2e.dev", "run", *nodes_option(self.real_nodes)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with signals_as_interrupts():
            return self._follow(child)

    def _follow(self, child: subprocess.Popen[bytes]) -> int:
        """Show the supervisor's words until it is ready or ends; an interrupt ends it too."""
        try:
            with self.log.open() as words:
                while not self.ready.exists() and child.poll() is None:
                    _pass_on(words)
                    time.sleep(0.1)
                _pass_on(words)
        except KeyboardInterrupt:
            say("stopping ...")
            child.terminate()
            with undisturbed():
                child.wait(GRACE)
            return 130
        if child.poll() is not None:
            return child.returncode or 1
        child.returncode = 0  # it lives on by itself: nothing here waits for it any more
        self._tell()
        return 0

    def _tell(self) -> None:
        folder = self.folder.relative_to(Path.cwd()) if self.folder.is_relative_to(Path.cwd()) else self.folder
        host = self.kubeconfig("host")
        say(
            f"""
ready; in a shell of yours:
  export PATH={self._kubectl_folder()}:$PATH
  kubectl --kubeconfig {folder}/acme.kubeconfig get namespaces
  kubectl --kubeconfig {folder}/globex.kubeconfig get all -A
  kubectl --kubeconfig {folder}/{host.name} get namespaces -L vcproxy.io/tenant
logs: {folder}/log/   process ids: {folder}/pids   stop all of it: make down"""
        )

    def _kubectl_folder(self) -> str:
        return str(Path(self.ready.read_text().strip()).parent)

    # the supervisor

    def run(self) -> int:
        """Everything, in this process and its children, until a signal (0) or a failure (1)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone(), signals_as_interrupts():
            write_pids(self.pids, {"supervisor": os.getpid()})
            running = contextlib.ExitStack()
            running.callback(self._forget)
            try:
                self._serve(running)
            except KeyboardInterrupt:
                return 0
            except (ProcessError, AssertionError) as error:
                say(str(error))
                return 1
            finally:
                with undisturbed():
                    running.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One supervisor per folder. Raises SystemExit where there is another."""
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SystemExit(f"another supervisor holds {file.name}") from None
            yield

    def _serve(self, running: contextlib.ExitStack) -> NoReturn:
        """Raises KeyboardInterrupt on a signal, ProcessError where a part ends by itself."""
        if self.real_nodes and (reason := install_packages()):
            raise ProcessError(f"real nodes cannot run here: packages: {reason}")
        host = start_host(self.run_folder / "host", real_nodes=self.real_nodes)
        running.callback(host.stop)
        _private_copy(host.kubeconfig, self.kubeconfig("host"))
        self._link_logs(self.run_folder / "host" / "log")
        proxy = RunningProxy(host, self.run_folder / "proxy")
        running.callback(proxy.stop)
        proxy.start()
        self._link_logs(proxy.log)
        parts = host.control_plane.pids() if host.control_plane else {}
        write_pids(self.pids, {"supervisor": os.getpid(), **parts, "vcproxy": proxy.pid})
        for name in TENANTS:
            self._tenant(running, proxy, name)
        self.ready.write_text(f"{host.kubectl}\n")
        while True:
            time.sleep(0.5)
            host.check()
            proxy.check()

    def _tenant(self, running: contextlib.ExitStack, proxy: RunningProxy, name: str) -> None:
        """A tenant and its kubeconfig. One that was there before is used, and stays."""
        tenant = TenantCluster(proxy, name, self.folder)
        if proxy.cli("tenant", "describe", name, check=False).returncode == 0:
            tenant.write_kubeconfig(tenant.kubeconfig)
            return
        if not proxy.host.own:
            running.callback(tenant.delete)
        tenant.create()
        say(f"tenant {name} is ready")

    def _link_logs(self, target: Path) -> None:
        """`.dev/log/` shows every log, wherever it is written."""
        for path in target.glob("*.log") if target.is_dir() else [target]:
            link = self.log.parent / path.name
            link.unlink(missing_ok=True)
            link.symlink_to(path)

    # down

    def down(self, quiet: bool = False) -> int:
        """Stop what is written in the pids file, the supervisor first; nothing else that has the same ids."""
        recorded = read_pids(self.pids)
        stopped = [one.name for one in recorded if one.stop(GRACE if one.name == "supervisor" else 10.0)]
        if os.geteuid() == 0:
            sweep_abandoned()
        self._forget()
        if not quiet:
            say("stopped" if stopped else "nothing was running")
        return 0

    def _forget(self) -> None:
        for path in (self.ready, self.pids, *(self.kubeconfig(name) for name in ("host", *TENANTS))):
            path.unlink(missing_ok=True)
        self._keep_logs()
        for path in (self.run_folder, *(self.kubeconfig(name).with_suffix(".cache") for name in TENANTS)):
            shutil.rmtree(path, ignore_errors=True)

    def _keep_logs(self) -> None:
        """The links in `.dev/log/` become the files, before the run's folder goes."""
        for link in self.log.parent.glob("*.log"):
            if link.is_symlink():
                target = link.resolve()
                link.unlink()
                if target.exists():
                    shutil.move(target, link)


def _pass_on(words: TextIO) -> None:
    if text := words.read():
        sys.stderr.write(text)
        sys.stderr.flush()


def _private_copy(source: Path, target: Path) -> None:
    target.touch(mode=0o600)
    target.write_bytes(source.read_bytes())


def nodes_option(real_nodes: int) -> list[str]:
    return [f"--nodes={REAL}{real_nodes}"] if real_nodes else []


def read_nodes(text: str) -> int:
    """How many real nodes `real:N` means; none for the fake ones that are there otherwise. Raises ArgumentTypeError."""
    if not text:
        return 0
    count = text.removeprefix(REAL)
    if count == text or not count.isdigit() or not 1 <= int(count) <= MOST_NODES:
        raise argparse.ArgumentTypeError(f"{text!r} is not {REAL}N with N from 1 to {MOST_NODES}")
    return int(count)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.dev", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "run"))
    parser.add_argument("--nodes", type=read_nodes, default=0, metavar="real:N", help="real nodes instead of fake ones")
    given = parser.parse_args()
    commands = {"up": Dev.up, "down": Dev.down, "run": Dev.run}
    return commands[given.command](Dev(ROOT / ".dev", given.nodes))


if __name__ == "__main__":
    sys.exit(main())
