"""`vcproxy serve`, `config`, `explain` and `completion`."""

from pathlib import Path
from typing import Any

import click
import yaml
from click.shell_completion import get_completion_class

from vcproxy.cli.output import Failure, output_option, show, table
from vcproxy.cli.session import TENANT, Access, access_options, get_tenant
from vcproxy.config import document as configuration
from vcproxy.config.document import ConfigErrors
from vcproxy.config.sections import Config
from vcproxy.core.exported import NOTHING
from vcproxy.core.names import TenantId
from vcproxy.core.status import ApiError
from vcproxy.tenants.hostapi import HostApi

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration (apiVersion: config.vcproxy.io/v1alpha1).",
)


def _load(path: Path) -> Config:
    try:
        return configuration.load(path)
    except ConfigErrors as errors:
        count = len(errors.problems)
        head = f"{path}: {count} problem{'s' if count > 1 else ''}"
        raise Failure("\n".join([head, *(f"  {problem}" for problem in errors.problems)])) from errors


@click.command()
@config_option
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the address, about one for each core. Health and metrics of each are one port further.",
)
def serve(path: Path, workers: int) -> None:
    """Run the proxy until SIGTERM, then drain."""
    config = _load(path)
    from vcproxy.app.process import serve as run  # the whole program: only this command waits for it
    from vcproxy.host.kubeconfig import KubeconfigError
    from vcproxy.workers import Supervisor

    try:
        code = run(config) if workers == 1 else Supervisor(config, workers, run).run()
    except KubeconfigError as error:
        raise Failure(str(error)) from error
    raise SystemExit(code)


@click.group()
def config() -> None:
    """The configuration file."""


@config.command()
@config_option
def check(path: Path) -> None:
    """Say everything that is wrong with a file."""
    _load(path)
    click.echo(f"{path} is valid")


@config.command("show")
@click.option("--config", "path", type=click.Path(path_type=Path, dir_okay=False), default=None)
@output_option
def show_(path: Path | None, form: str) -> None:
    """Every setting with its value, default, unit and reason."""
    document = None
    if path is not None:
        _load(path)
        document = yaml.safe_load(path.read_text())
    found = configuration.shown(document)
    rows = [
        (
            one["path"],
            _plain(one["value"]),
            _plain(one["default"]),
            one["unit"],
            "yes" if one["reloads"] else "no",
            one["why"],
        )
        for one in found
    ]
    show(found, form, lambda: table(("SETTING", "VALUE", "DEFAULT", "UNIT", "RELOADS", "WHY"), rows))


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    return (
        ",".join(map(str, value))
        if isinstance(value, list)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )


@click.command()
@click.argument("method")
@click.argument("url")
@click.option("--tenant", "id", type=TENANT, required=True)
@click.option("--as", "user", default="admin", show_default=True, help="The user who asks.")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The proxy's configuration: the kinds that it exports count.",
)
@output_option
@access_options
def explain(access: Access, method: str, url: str, id: TenantId, user: str, path: Path | None, form: str) -> None:
    """What the proxy would do with a request: the plan, and the rules that would run. Nothing is sent."""
    from vcproxy.cli.explaining import explained, known

    exports = _load(path).exports if path is not None else NOTHING

    async def work(api: HostApi) -> dict[str, Any]:
        await get_tenant(api, id)
        found = await known(api.upstream, id, exports)
        try:
            return explained(method.upper(), url, found, user, exports)
        except ApiError as error:
            return {"plan": {"type": "Deny", "status": error.status.document()}}

    decided = access.run(work)
    show(decided, form, lambda: yaml.safe_dump(decided, sort_keys=False, allow_unicode=True).rstrip())


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: source <(vcproxy completion bash)."""
    from vcproxy.cli.main import main

    found = get_completion_class(shell)
    if found is None:
        raise Failure(f"no completion for {shell}")
    click.echo(found(main, {}, "vcproxy", "_VCPROXY_COMPLETE").source())
