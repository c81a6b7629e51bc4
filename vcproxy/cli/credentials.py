"""`vcproxy kubeconfig` and `vcproxy token`: what tenants' users hold."""

import base64
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click
import yaml

from vcproxy import config as configuration
from vcproxy.access.keys import Keys
from vcproxy.access.records import IssuedToken, TokenRecords, rfc3339, tokens_map_name
from vcproxy.access.tokens import Issuer
from vcproxy.cli.output import Failure, output_option, show, table
from vcproxy.cli.session import INSTALLATION, TENANT, Access, access_options, get_tenant
from vcproxy.core.names import TenantId
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of

ADMIN: Final = "tenant:admin"
TRIES: Final = 8
"""How often a ConfigMap of tokens is written again after somebody else changed it."""


class Duration(click.ParamType[float]):
    """`12h`, `30m`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return configuration.duration(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}".replace(" is ", " is no duration; one is ", 1), param, ctx)


async def issue_token(
    api: HostApi, tenant: TenantId, user: str, groups: tuple[str, ...], life: float | None
) -> tuple[str, IssuedToken]:
    """A new token, recorded on the host before anyone has it; without `life` as the proxy is configured.

    Raises Failure, for a life longer than the proxy's longest too.
    """
    usual, longest = await _lives(api)
    if life is not None and life > longest:
        raise Failure(f"a token lives for {longest / 3600:.0f}h at most here (tokens.longestLife of the proxy)")
    found = await get_tenant(api, tenant)
    secret = await api.get(path_of("v1", "secrets", INSTALLATION, "vcproxy-keys"))
    if secret is None:
        raise Failure("the host has no keys of vcproxy: run `vcproxy install` first")
    keys = Keys.from_secret({name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()})
    try:
        token, record = Issuer(keys).issue(tenant, found["metadata"]["uid"], user, groups, life or usual, time.time())
    except ValueError as error:
        raise Failure(str(error)) from error
    await change_records(api, tenant, lambda records: records.add(record, time.time()))
    return token, record


async def _lives(api: HostApi) -> tuple[float, float]:
    """The usual and the longest life of tokens, in seconds, as the running proxy says; else the defaults."""
    info = await api.get(path_of("v1", "configmaps", INSTALLATION, "vcproxy-info"))
    data = (info or {}).get("data") or {}
    settings = {setting.path: setting.default for setting in configuration.SETTINGS}
    usual = data.get("tokenLife", settings["tokens.life"])
    longest = data.get("longestTokenLife", settings["tokens.longestLife"])
    return configuration.duration(usual), configuration.duration(longest)


async def change_records(api: HostApi, tenant: TenantId, change: Any) -> TokenRecords:
    """Read, change and write the records of a tenant; again where somebody else was faster. Raises Failure."""
    collection = path_of("v1", "configmaps", INSTALLATION)
    where = path_of("v1", "configmaps", INSTALLATION, tokens_map_name(tenant))
    for _ in range(TRIES):
        found = await api.get(where)
        records: TokenRecords = change(TokenRecords.parse((found or {}).get("data")))
        try:
            if found is None:
                await api.create(collection, _tokens_map(tenant, records))
            else:
                await api.replace(where, {**found, "data": records.data()})
            return records
        except HostError as error:
            if error.code != 409:
                raise
    raise Failure(f"the tokens of {tenant} are being changed by others all the time: try again")


def _tokens_map(tenant: TenantId, records: TokenRecords) -> Object:
    metadata = {
        "name": tokens_map_name(tenant),
        "namespace": INSTALLATION,
        "labels": {"vcproxy.io/tokens": str(tenant)},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": records.data()}


# kubeconfig ----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("id", type=TENANT)
@click.option("--user", default="admin", show_default=True, help="The user's name in the tenant's cluster.")
@click.option("--group", "groups", multiple=True, help=f"A group of the user. Repeatable. [{ADMIN}]")
@click.option("--server", default="", help="The proxy's URL. [what the running proxy says]")
@click.option("--life", type=Duration(), default=None, help="How long the token is good. [tokens.life of the proxy]")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="The file to write. [stdout]"
)
@click.option("--merge", is_flag=True, help="Add to the file (else to ~/.kube/config) instead of replacing it.")
@access_options
def kubeconfig(
    access: Access,
    id: TenantId,
    user: str,
    groups: tuple[str, ...],
    server: str,
    life: float | None,
    out: Path | None,
    merge: bool,
) -> None:
    """A kubeconfig for a user of a tenant, with a new token."""

    async def work(api: HostApi) -> dict[str, Any]:
        info = await api.get(path_of("v1", "configmaps", INSTALLATION, "vcproxy-info"))
        if info is None:
            raise Failure("no proxy has told where it is reached: start `vcproxy serve`, then ask again")
        token, _ = await issue_token(api, id, user, groups or (ADMIN,), life)
        return document(id, user, token, server or info["data"]["publicURL"], info["data"]["ca.crt"])

    made = access.run(work)
    target = out or (Path.home() / ".kube" / "config" if merge else None)
    if target is None:
        click.echo(yaml.safe_dump(made, sort_keys=False), nl=False)
        return
    write_private(target, yaml.safe_dump(merged(_read(target), made) if merge else made, sort_keys=False))
    click.echo(f"wrote {target}; try: kubectl --kubeconfig {target} --context vcproxy-{id} get namespaces", err=True)


def document(tenant: TenantId, user: str, token: str, server: str, ca: str) -> dict[str, Any]:
    """A kubeconfig with one cluster, user and context, all named `vcproxy-<id>`."""
    name = f"vcproxy-{tenant}"
    account = name if user == "admin" else f"{name}-{user}"
    authority = base64.b64encode(ca.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": account}}],
        "current-context": name,
    }


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new` put into `old`: entries of the same name are replaced, all others stay; the new context is current."""
    result = {**new, **old, "current-context": new["current-context"]}
    for section in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in new[section]}
        result[section] = [entry for entry in old.get(section) or () if entry.get("name") not in names] + new[section]
    return result


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Failure(f"{path} cannot be read and is left as it is: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise Failure(f"{path} is no kubeconfig and is left as it is")
    return found or {}


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner only (mode 0600), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# token ---------------------------------------------------------------------------------------------------------------


@click.group()
def token() -> None:
    """Tokens of tenants' users."""


@token.command()
@click.argument("id", type=TENANT)
@click.option("--user", default="admin", show_default=True)
@click.option("--group", "groups", multiple=True, help=f"A group of the user. Repeatable. [{ADMIN}]")
@click.option("--life", type=Duration(), default=None, help="How long the token is good. [tokens.life of the proxy]")
@output_option
@access_options
def issue(access: Access, id: TenantId, user: str, groups: tuple[str, ...], life: float | None, form: str) -> None:
    """Print a new token."""

    async def work(api: HostApi) -> tuple[str, IssuedToken]:
        return await issue_token(api, id, user, groups or (ADMIN,), life)

    text, record = access.run(work)
    show({"token": text, **_shown(record)}, form, lambda: text)


@token.command("list")
@click.argument("id", type=TENANT)
@output_option
@access_options
def list_(access: Access, id: TenantId, form: str) -> None:
    """The tokens of a tenant that have not expired; the tokens themselves are kept nowhere."""

    async def work(api: HostApi) -> TokenRecords:
        await get_tenant(api, id)
        found = await api.get(path_of("v1", "configmaps", INSTALLATION, tokens_map_name(id)))
        return TokenRecords.parse((found or {}).get("data")).without_expired(time.time())

    records = [_shown(record) for record in access.run(work).listed()]
    rows = [
        (one["id"], one["user"], ",".join(one["groups"]), one["expires"][:19] + "Z", one["revoked"] or "-")
        for one in records
    ]
    show(records, form, lambda: table(("ID", "USER", "GROUPS", "EXPIRES", "REVOKED"), rows) if rows else "no tokens")


@token.command()
@click.argument("id", type=TENANT)
@click.argument("token_id", default="")
@click.option("--user", default="", help="Revoke all tokens of this user instead.")
@access_options
def revoke(access: Access, id: TenantId, token_id: str, user: str) -> None:
    """Take a token back, by the id that `token list` shows; counts within 5 seconds."""
    if bool(token_id) == bool(user):
        raise click.UsageError("give either a token's id or --user")

    def change(records: TokenRecords) -> TokenRecords:
        try:
            return records.revoke_user(user, time.time()) if user else records.revoke(token_id, time.time())
        except (KeyError, ValueError):
            raise Failure(f"tenant {id} has no token {token_id}; `vcproxy token list {id}` shows them") from None

    async def work(api: HostApi) -> None:
        await get_tenant(api, id)
        await change_records(api, id, change)

    access.run(work)
    click.echo(f"revoked {f'all tokens of {user}' if user else token_id}")


def _shown(record: IssuedToken) -> dict[str, Any]:
    return {
        "id": record.id,
        "user": record.user,
        "groups": list(record.groups),
        "issued": rfc3339(record.issued),
        "expires": rfc3339(record.expires),
        "revoked": None if record.revoked is None else rfc3339(record.revoked),
    }
