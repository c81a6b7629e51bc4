"""`vcproxy install` and `vcproxy uninstall`."""

import base64
from pathlib import Path
from typing import Any

import click
import yaml

from vcproxy import __version__
from vcproxy.access.certificates import make_ca
from vcproxy.access.keys import Keys
from vcproxy.cli.credentials import write_private
from vcproxy.cli.output import Failure, output_option, show, table
from vcproxy.cli.session import Access, access_options
from vcproxy.config.document import ConfigErrors, load
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.host.kubeconfig import HostCredentials
from vcproxy.tenants.hostapi import HostApi
from vcproxy.tenants.installation import Change, InstallationError, Installer


def new_keys() -> dict[str, bytes]:
    """The data of the Secret vcproxy-keys: signing and sealing keys, and a certificate authority."""
    ca = make_ca()
    return {**Keys.generate(), "ca.crt": ca.certificate, "ca.key": ca.key}


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would change and change nothing.")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Write proxy.kubeconfig and controller.kubeconfig into this folder (mode 0600).",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="The proxy's configuration: rights on the kinds that it exports are given too.",
)
@output_option
@access_options
def install(access: Access, dry_run: bool, credentials: Path | None, config: Path | None, form: str) -> None:
    """Put on the host what vcproxy needs: kinds, rights, admission policy, keys. Safe to repeat."""
    exports = _exports(config)

    async def work(api: HostApi) -> list[Change]:
        installer = Installer(api, __version__, lambda text: click.echo(text, err=True), exports)
        try:
            changes = await installer.install(new_keys, dry_run=dry_run)
        except InstallationError as error:
            raise Failure(str(error)) from error
        if credentials is not None and not dry_run:
            for name, account in (("proxy", "vcproxy"), ("controller", "vcproxy-controller")):
                token = await installer.token(account)
                write_private(
                    credentials / f"{name}.kubeconfig", _kubeconfig(access.credentials(), account, token or "")
                )
        return changes

    _show(access.run(work), form, "would be " if dry_run else "")


def _exports(path: Path | None) -> Exports:
    if path is None:
        return NOTHING
    try:
        return load(path).exports
    except ConfigErrors as error:
        raise Failure(str(error)) from error


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed and remove nothing.")
@output_option
@access_options
def uninstall(access: Access, dry_run: bool, form: str) -> None:
    """Take everything of vcproxy off the host. Refused while tenants exist."""

    async def work(api: HostApi) -> list[Change]:
        try:
            return await Installer(api, __version__, click.echo).uninstall(dry_run=dry_run)
        except InstallationError as error:
            raise Failure(str(error)) from error

    _show(access.run(work), form, "would be " if dry_run else "")


def _show(changes: list[Change], form: str, prefix: str) -> None:
    documents: list[dict[str, Any]] = [
        {"kind": one.kind, "name": one.name, "action": prefix + one.action} for one in changes
    ]
    rows = [(one["kind"], one["name"], one["action"]) for one in documents]
    show(
        documents,
        form,
        lambda: table(("KIND", "NAME", "ACTION"), rows) if rows else "nothing of vcproxy is on the host",
    )


def _kubeconfig(host: HostCredentials, account: str, token: str) -> str:
    cluster: dict[str, Any] = {"server": host.server}
    if host.ca:
        cluster["certificate-authority-data"] = base64.b64encode(host.ca).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "host", "cluster": cluster}],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": account, "context": {"cluster": "host", "user": account}}],
        "current-context": account,
    }
    return yaml.safe_dump(document, sort_keys=False)
