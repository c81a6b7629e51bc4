"""The command line: what people and scripts type. Heavy parts are imported by the command that needs them."""

from vcproxy.cli.main import main

__all__ = ["main"]
