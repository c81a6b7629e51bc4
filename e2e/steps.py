"""The steps of a make target: all run even where one fails, and a table ends them (python -m e2e.steps check|...)."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
BIN: Final = Path(sys.executable).parent
NOT_RUN: Final = re.compile(r"^=* ?((?:\d+ not run|real nodes cannot run here): .*?) ?=*$")
"""A heading of pytest's summary (e2e/conftest.py), or the words of `prepare-nodes`."""
KEPT: Final = 65536
"""Bytes of a step's output that are kept to find its own last words."""


@dataclass(frozen=True)
class Step:
    """A name for people, and the command with its program from the virtual environment."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How a step ended; `words` is what the step itself says at the end (counts of tests)."""

    step: Step
    code: int
    seconds: float
    words: str


UNIT: Final = (Step("unit tests", ("pytest", "-ra", "tests")),)
CHECK: Final = (
    Step("lint", ("ruff", "check", ".")),
    Step("format", ("ruff", "format", "--check", ".")),
    Step("types", ("mypy",)),
    Step("import contracts", ("lint-imports",)),
    *UNIT,
)
E2E: Final = (
    Step("host binaries", ("python", "-m", "e2e.cluster", "build")),
    Step("real nodes", ("python", "-m", "e2e.cluster", "prepare-nodes")),
    Step("end-to-end tests", ("pytest", "-ra", "e2e")),
)
ATTACK: Final = (E2E[0], Step("attack suite", ("pytest", "-ra", "e2e/attack", "e2e/test_walls.py")))
TARGETS: Final = {"unit": UNIT, "check": CHECK, "e2e": E2E, "attack": ATTACK, "test": (*CHECK, *E2E)}


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in TARGETS:
        print(f"usage: python -m e2e.steps {'|'.join(TARGETS)}", file=sys.stderr)
        return 2
    results = []
    for step in TARGETS[arguments[0]]:
        print(f"\n=== {step.name}: {' '.join(step.command)}", flush=True)
        results.append(run(step))
    print(f"\n{summary(arguments[0], results)}", flush=True)
    return 1 if any(result.code for result in results) else 0


def run(step: Step) -> Result:
    """Run it with its output passed on as it comes."""
    start = time.monotonic()
    command = [str(BIN / step.command[0]), *step.command[1:]]
    kept = b""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        try:
            while chunk := os.read(_output(child), 8192):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                kept = (kept + chunk)[-KEPT:]
        except KeyboardInterrupt:  # the child has got it too, and is cleaning up
            with contextlib.suppress(KeyboardInterrupt):
                child.wait()
            raise SystemExit(130) from None
    return Result(step, child.returncode, time.monotonic() - start, last_words(kept.decode(errors="replace")))


def _output(child: subprocess.Popen[bytes]) -> int:
    assert child.stdout is not None
    return child.stdout.fileno()


def last_words(output: str) -> str:
    """pytest's own counts, `57 passed, 1 skipped`, where the last line holds any, and what was not run and why."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).strip().splitlines() or [""]
    counts = re.findall(r"\d+ (?:passed|failed|errors?|skipped|xfailed|xpassed|deselected|warnings?)", lines[-1])
    left = [found[1] for line in lines if (found := NOT_RUN.match(line))]
    return ", ".join([*counts, *left])


def summary(target: str, results: Sequence[Result]) -> str:
    """A line for each step, and one for all of them."""
    wide = max(len(result.step.name) for result in results)
    lines = [_line(result, wide) for result in results]
    failed = [result.step.name for result in results if result.code]
    seconds = sum(result.seconds for result in results)
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all passed"
    return "\n".join([*lines, f"make {target}: {verdict} in {seconds:.0f} s"])


def _line(result: Result, wide: int) -> str:
    verdict = "FAILED" if result.code else "ok"
    return f"{verdict:6}  {result.step.name:{wide}}  {result.seconds:6.1f} s  {result.words}".rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
