"""What commands print: for people by default, as JSON or YAML where asked. Errors say what to do."""

import datetime
import json
from collections.abc import Callable, Sequence
from typing import Any

import click
import yaml

Format = str

output_option = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    help="How to print the result.",
)


def show(document: Any, form: Format, text: Callable[[], str]) -> None:
    """Print a document: as it is for machines, as `text` makes it for people."""
    if form == "json":
        click.echo(json.dumps(document, indent=2))
    elif form == "yaml":
        click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
    else:
        click.echo(text())


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns, as kubectl prints them."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def age(moment: str) -> str:
    """How long ago an RFC 3339 time was: `5s`, `3m`, `2h`, `7d`."""
    then = datetime.datetime.fromisoformat(moment)
    seconds = int((datetime.datetime.now(datetime.UTC) - then).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


class Failure(click.ClickException):
    """A command that failed: exit code 1, the message on stderr."""

    exit_code = 1
