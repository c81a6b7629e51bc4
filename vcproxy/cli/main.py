"""The root of the command line: which commands there are, and the module each comes from.

Exit codes: 0 done, 1 failed, 2 used wrongly.
"""

import importlib
import platform
from typing import Any, Final

import click

from vcproxy import __version__
from vcproxy.cli.output import output_option, show

COMMANDS: Final = {
    "serve": "vcproxy.cli.running",
    "config": "vcproxy.cli.running",
    "install": "vcproxy.cli.installing",
    "uninstall": "vcproxy.cli.installing",
    "tenant": "vcproxy.cli.tenants",
    "kubeconfig": "vcproxy.cli.credentials",
    "token": "vcproxy.cli.credentials",
    "credential": "vcproxy.cli.renewing",
    "keys": "vcproxy.cli.rotation",
    "grant": "vcproxy.cli.grants",
    "revoke": "vcproxy.cli.grants",
    "who-can": "vcproxy.cli.grants",
    "explain": "vcproxy.cli.running",
    "completion": "vcproxy.cli.running",
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called: `vcproxy version` waits for nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, "version"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def main() -> None:
    """Many tenants, one Kubernetes API server, and for each the view of a cluster of its own."""


@main.command()
@output_option
def version(form: str) -> None:
    """The version of this program."""
    found: dict[str, Any] = {"version": __version__, "python": platform.python_version()}
    show(found, form, lambda: f"vcproxy {__version__} (Python {platform.python_version()})")
