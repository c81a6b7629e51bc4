"""Where vcproxy's time goes: a load on it, a sampling profiler (py-spy) beside it, the functions it was seen in.

The profiler is no dependency of the project: it is taken from the PATH or the virtual environment, else installed with
its hash into the cache folder.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from e2e.bench import watchers
from e2e.bench.measure import loading, sample
from e2e.bench.requests import Work, work_command
from e2e.bench.stage import Stage, tell
from e2e.cluster.build import cache_folder

LOCK: Final = Path(__file__).parent / "profiler.lock"
SECONDS: Final = 10
RATE: Final = 200
"""Samples a second; each stops the program for a moment."""
ENDLESS: Final = 1_000_000
"""Requests: more than fit into any time here."""
WATCHERS: Final = 100
"""As many as the cost of an event is judged by."""
SHOWN: Final = 25
FILES: Final = 15
_FRAME: Final = re.compile(r"(.*) \((.*?)(?::\d+)?\)$")


def find_profiler() -> str:
    """py-spy. Raises SystemExit where it cannot be had."""
    name = LOCK.read_text().split()[0]
    folder = cache_folder() / name.replace("==", "-")
    own = folder / "bin" / "py-spy"
    found = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if found or own.exists():
        return found or str(own)
    tell(f"installing {name} into {folder} ...")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*install, "--require-hashes", "--target", str(folder), "-r", str(LOCK)], check=False)
    if done.returncode or not own.exists():
        raise SystemExit(f"{name} could not be installed; or put py-spy on the PATH")
    return str(own)


class Profiled(msgspec.Struct, frozen=True):
    """A load under which vcproxy is looked at. `command` of seconds and a mark that makes names differ; `unit`: what
    it is counted in."""

    label: str
    unit: str
    command: Callable[[float, str], list[str]]


def of_work(stage: Stage, work: Work) -> Profiled:
    def command(seconds: float, mark: str) -> list[str]:
        return work_command(stage, msgspec.structs.replace(work, most=ENDLESS), stage.targets["vcproxy"], seconds, mark)

    return Profiled(work.label, "request", command)


def of_watchers(stage: Stage) -> Profiled:
    stage.made("configmap", "watched", "watches")

    def command(seconds: float, mark: str) -> list[str]:
        return watchers.command(stage, stage.targets["vcproxy"], WATCHERS, seconds)

    return Profiled(f"{WATCHERS} watchers", "delivered event", command)


def profile(stage: Stage, profiled: Profiled, native: bool) -> str:
    """The heaviest functions of vcproxy under one load, with what they cost a request or event.

    What that costs is measured before, without the profiler.
    """
    target = stage.targets["vcproxy"]
    sample(profiled.command(1.0, "warm"), target)
    cost = sample(profiled.command(3.0, "cost"), target)
    with tempfile.TemporaryDirectory() as folder, loading(profiled.command(SECONDS + 3.0, "profile")) as load:
        raw = Path(folder) / "raw"
        record = [find_profiler(), "record", "-d", str(SECONDS), "-r", str(RATE), "-f", "raw", "-o", str(raw)]
        load.begin()
        done = subprocess.run(
            [*record, *(["--native"] if native else []), "-p", str(target.pid)],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS * 6,
        )
        load.result()
        if done.returncode:
            raise SystemExit(f"py-spy failed: {done.stderr[-500:]}")
        return table(raw.read_text(), profiled.label, cost.cpu, profiled.unit)


def table(raw: str, label: str, cost: float, unit: str = "request") -> str:
    """`raw` holds a line for each stack: frames from the outermost, separated by `;`, and how often it was seen."""
    own, within, files, total = Counter[str](), Counter[str](), Counter[str](), 0
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        names = [_named(frame) for frame in stack.split(";")]
        total += int(count)
        own[names[-1]] += int(count)
        files[names[-1].rpartition("  ")[2]] += int(count)
        for name in set(names):
            within[name] += int(count)
    head = [
        f"{label}: {cost:.0f} us of CPU a {unit} (without the profiler), {total} samples",
        f"{'own %':>6} {'own us':>7} {'with callees us':>16}  function",
    ]
    head += [_line(name, seen, within[name], total, cost) for name, seen in own.most_common(SHOWN)]
    head += ["", "by file:"]
    head += [f"{seen / total:6.1%} {seen / total * cost:7.1f}  {name}" for name, seen in files.most_common(FILES)]
    return "\n".join(head)


def _line(name: str, own: int, within: int, total: int, cost: float) -> str:
    return f"{own / total:6.1%} {own / total * cost:7.1f} {within / total * cost:16.1f}  {name}"


def _named(frame: str) -> str:
    """A function and its file, without the line: all lines of a function count together."""
    found = _FRAME.match(frame)
    return f"{found[1]}  {_short(found[2])}" if found else frame


def _short(path: str) -> str:
    return path.partition("site-packages/")[2] or path
