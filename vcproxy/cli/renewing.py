"""`vcproxy credential`, the exec credential plugin of a tenant's user, and the file that it works from.

The file (mode 0600) holds the proxy's address, its CA, a refresh token and the last short-lived token, which is used
again until shortly before its end.
"""

import json
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import click

from vcproxy.access.records import seconds
from vcproxy.access.refresh import PATH
from vcproxy.cli.output import Failure
from vcproxy.cli.private import write_private

MARGIN: Final = 120.0
"""Seconds before its end when a token is exchanged for the next one."""
DEADLINE: Final = 15.0


def stanza(file: Path) -> dict[str, Any]:
    """The user of a kubeconfig whose credential this program gives (client.authentication.k8s.io/v1)."""
    found = shutil.which("vcproxy")
    command, first = ("vcproxy", []) if found else (sys.executable, ["-m", "vcproxy"])
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": command,
            "args": [*first, "credential", "--file", str(file.absolute())],
            "interactiveMode": "Never",
            "provideClusterInfo": False,
            "installHint": "vcproxy gives this cluster's credentials: install it where kubectl runs",
        }
    }


def write(file: Path, server: str, ca: str, refresh: str) -> None:
    """The file that the plugin works from."""
    write_private(file, json.dumps({"server": server, "ca": ca, "refresh": refresh}))


@click.command()
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="What kubeconfig --exec made."
)
def credential(file: Path) -> None:
    """Print an ExecCredential for kubectl, renewed in time."""
    click.echo(json.dumps(current(file, time.time())))


def current(file: Path, now: float) -> dict[str, Any]:
    """The kept credential, or a new one. Raises Failure."""
    try:
        kept = json.loads(file.read_text())
        known: dict[str, Any] | None = kept.get("last")
        if known is not None and seconds(known["status"]["expirationTimestamp"]) - now > MARGIN:
            return known
        fresh = _exchange(kept["server"], kept["ca"], kept["refresh"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{file}: no credential can be had: {error}") from error
    write_private(file, json.dumps({**kept, "last": fresh}))
    return fresh


def _exchange(server: str, ca: str, refresh: str) -> dict[str, Any]:
    """Raises OSError (an HTTP refusal too) and ValueError."""
    request = urllib.request.Request(  # noqa: S310 - https is checked below
        server + PATH.decode(), b"", {"Authorization": f"Bearer {refresh}", "Accept": "application/json"}
    )
    if request.type != "https":
        raise ValueError("the proxy's address is no https URL")
    context = ssl.create_default_context(cadata=ca)
    with urllib.request.urlopen(request, timeout=DEADLINE, context=context) as answer:  # noqa: S310 - as above
        found: dict[str, Any] = json.loads(answer.read(65536))
    seconds(found["status"]["expirationTimestamp"])
    return found
