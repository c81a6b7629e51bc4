"""kubectl from the build, run as somebody: real commands, their output kept."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

DEADLINE: Final = 90.0
"""Seconds for one command."""


class Kubectl:
    """Runs kubectl with one kubeconfig and a discovery cache of its own. `heard` is told all output, byte for byte.

    `settings` are environment variables of its own, such as KUBECTL_REMOTE_COMMAND_WEBSOCKETS.
    """

    def __init__(
        self,
        program: Path,
        kubeconfig: Path,
        heard: Callable[[bytes], None] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.program = program
        self.kubeconfig = kubeconfig
        self._heard = heard
        self._settings = dict(settings or {})

    def with_settings(self, **settings: str) -> "Kubectl":
        """The same with other environment variables."""
        return Kubectl(self.program, self.kubeconfig, self._heard, {**self._settings, **settings})

    @property
    def environment(self) -> dict[str, str]:
        """What a shell needs for `kubectl` to be this one: PATH, KUBECONFIG, KUBECACHEDIR; no proxies on the way."""
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {
            **kept,
            "PATH": f"{self.program.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.kubeconfig.with_suffix(".cache")),
            "KUBE_EDITOR": "true",
            **self._settings,
        }

    def __call__(
        self, *arguments: str, input: str | None = None, check: bool = True, timeout: float = DEADLINE
    ) -> subprocess.CompletedProcess[str]:
        """The finished command. Raises AssertionError with everything it said where it failed and `check` is on."""
        done = subprocess.run(
            [str(self.program), *arguments],
            input=(input or "").encode(),
            capture_output=True,
            env=self.environment,
            timeout=timeout,
            check=False,
        )
        if self._heard:
            self._heard(done.stdout + done.stderr)
        text = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and text.returncode:
            command = " ".join((self.program.name, *arguments))
            raise AssertionError(f"{command} -> {text.returncode}\n{text.stdout}{text.stderr}")
        return text

    def json(self, *arguments: str) -> Any:
        """What a command with `-o json` printed, decoded."""
        return json.loads(self(*arguments, "-o", "json").stdout)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """The command in the background, its output in one pipe; the caller ends it."""
        return subprocess.Popen(
            [str(self.program), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
