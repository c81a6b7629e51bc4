"""`python -m e2e.cluster up --dir DIR`: a cluster in the foreground until Ctrl-C or SIGTERM.

DIR then holds admin.kubeconfig, pids (one `name pid` a line), audit.log and log/. `prepare-nodes` installs what real
nodes need, says whether this machine can run them, and builds their binaries.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from e2e.cluster.build import REAL_NODES, binaries, say
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.host import BuiltHost, choose_host
from e2e.cluster.preflight import failure, install_packages
from e2e.cluster.processes import ProcessError, signals_as_interrupts, undisturbed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the binaries and print their folder")
    commands.add_parser("prepare-nodes", help="packages, checks and binaries of real nodes")
    up = commands.add_parser("up", help="run a cluster until Ctrl-C")
    up.add_argument("--dir", type=Path, required=True, help="the folder of the run; made, must be empty")
    up.add_argument("--real-nodes", type=int, default=0, metavar="N", help="real nodes instead of fake ones")
    given = parser.parse_args()
    if given.command == "build":
        print(binaries())
        return 0
    if given.command == "prepare-nodes":
        return prepare_nodes()
    return run(given.dir.absolute(), given.real_nodes)


def prepare_nodes() -> int:
    """Where the machine cannot run real nodes, that is said and is no failure: what needs them is not run then."""
    host = choose_host(Path())
    if not isinstance(host, BuiltHost):
        say(f"nothing to prepare: nodes are those of {host.description}")
        return 0
    if reason := install_packages() or failure():
        say(f"real nodes cannot run here: {reason}")
        return 0
    print(binaries(REAL_NODES))
    return 0


def run(folder: Path, real_nodes: int = 0) -> int:
    """A cluster until a signal (0) or until a component ends by itself (1)."""
    if folder.exists() and any(folder.iterdir()):
        say(f"{folder} is not empty")
        return 2
    cluster = ControlPlane(folder, real_nodes)
    try:
        with signals_as_interrupts():
            return _serve(cluster)
    except KeyboardInterrupt:
        say("stopping ...")
        return 0
    except ProcessError as error:
        say(str(error))
        return 1
    finally:
        with undisturbed():
            cluster.stop()
            (folder / "pids").unlink(missing_ok=True)


def _serve(cluster: ControlPlane) -> int:
    start = time.monotonic()
    cluster.start()
    target = cluster.folder / "admin.kubeconfig"
    shutil.copy(cluster.kubeconfig, target)
    pids = {"cluster": os.getpid(), **cluster.pids()}
    (cluster.folder / "pids").write_text("".join(f"{name} {pid}\n" for name, pid in pids.items()))
    say(f"ready after {time.monotonic() - start:.1f} s: {cluster.kubectl} --kubeconfig {target} get nodes")
    while True:
        time.sleep(0.5)
        cluster.check()


if __name__ == "__main__":
    sys.exit(main())
