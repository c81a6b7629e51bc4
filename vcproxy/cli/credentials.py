"""`vcproxy kubeconfig` and `vcproxy token`: what tenants' users hold."""

import base64
import time
from pathlib import Path
from typing import Any, Final

import click
import yaml

from vcproxy.access.certificates import Pair
from vcproxy.access.keys import Keys
from vcproxy.access.records import IssuedToken, TokenRecords, rfc3339, tokens_map_name
from vcproxy.access.tokens import AUDIENCE, REFRESH_AUDIENCE, Issuer
from vcproxy.cli import issuing, renewing
from vcproxy.cli.output import Failure, output_option, show, table
from vcproxy.cli.private import write_private as write_private
from vcproxy.cli.recording import change_records, lives
from vcproxy.cli.session import TENANT, Access, access_options, get_tenant
from vcproxy.config import values
from vcproxy.core import addressing
from vcproxy.core.names import TenantId
from vcproxy.tenants import info
from vcproxy.tenants.hostapi import HostApi, path_of
from vcproxy.tenants.manifests import INSTALLATION, KEYS_SECRET

ADMIN: Final = "tenant:admin"


class Duration(click.ParamType[float]):
    """`12h`, `30m`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return values.duration(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}".replace(" is ", " is no duration; one is ", 1), param, ctx)


async def issue_token(
    api: HostApi,
    tenant: TenantId,
    user: str,
    groups: tuple[str, ...],
    life: float | None,
    audience: str = AUDIENCE,
) -> tuple[str, IssuedToken]:
    """A new token, recorded on the host before anyone has it; without `life` as the proxy is configured.

    Raises Failure, for a life longer than the proxy's longest too.
    """
    usual, longest = await lives(api)
    if life is not None and life > longest:
        raise Failure(f"a token lives for {longest / 3600:.0f}h at most here (tokens.longestLife of the proxy)")
    found = await get_tenant(api, tenant)
    secret = await api.get(path_of("v1", "secrets", INSTALLATION, KEYS_SECRET))
    if secret is None:
        raise Failure("the host has no keys of vcproxy: run `vcproxy install` first")
    keys = Keys.from_secret({name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()})
    try:
        token, record = Issuer(keys).issue(
            tenant, found["metadata"]["uid"], user, groups, life or usual, time.time(), audience=audience
        )
    except ValueError as error:
        raise Failure(str(error)) from error
    await change_records(api, tenant, lambda records: records.add(record, time.time()))
    return token, record


# kubeconfig ----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("id", type=TENANT)
@click.option("--user", default="admin", show_default=True, help="The user's name in the tenant's cluster.")
@click.option("--group", "groups", multiple=True, help=f"A group of the user. Repeatable. [{ADMIN}]")
@click.option("--server", default="", help="The proxy's URL. [what the running proxy says]")
@click.option("--life", type=Duration(), default=None, help="How long it is good. [tokens.life of the proxy]")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=None, help="The file to write. [stdout]"
)
@click.option("--merge", is_flag=True, help="Add to the file (else to ~/.kube/config) instead of replacing it.")
@click.option("--exec", "renewed", is_flag=True, help="With short-lived tokens that `vcproxy credential` renews.")
@click.option("--certificate", is_flag=True, help="With a client certificate of the tenant's CA instead of a token.")
@click.option("--login", default="", help="Use this user of the kubeconfig (OIDC, certificate) instead of a new token.")
@click.option(
    "--address",
    "form",
    type=click.Choice(addressing.FORMS),
    default=None,
    help="Name the tenant in the address: by /t/<id>, by <id>.<listen.domain>. [plain; path with --login]",
)
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
    renewed: bool,
    certificate: bool,
    login: str,
    form: str | None,
) -> None:
    """A kubeconfig for a user of a tenant, with a new token or certificate."""

    target = out or (Path.home() / ".kube" / "config" if merge else None)
    if renewed and target is None:
        raise click.UsageError("--exec keeps a refresh token beside the kubeconfig: give --out or --merge")
    if renewed and certificate:
        raise click.UsageError("--exec renews tokens: it goes without --certificate")
    if login and (renewed or certificate or groups or life is not None):
        raise click.UsageError("--login makes no token: it goes without --exec, --certificate, --group and --life")

    async def work(api: HostApi) -> dict[str, Any]:
        found = await api.get(info.PATH)
        if found is None:
            raise Failure("no proxy has told where it is reached: start `vcproxy serve`, then ask again")
        url, ca = _address(found["data"], id, server, form or ("path" if login else "plain")), found["data"]["ca.crt"]
        if login:
            await get_tenant(api, id)
            return document(id, user, None, url, ca, login)
        if certificate:
            pair = await issuing.issue_certificate(api, id, user, groups or (ADMIN,), life)
            return with_certificate(document(id, user, "", url, ca), pair)
        audience = REFRESH_AUDIENCE if renewed else AUDIENCE
        token, _ = await issue_token(api, id, user, groups or (ADMIN,), life, audience)
        made = document(id, user, token, url, ca)
        if renewed and target is not None:
            file = target.with_name(f"{target.name}.{made['users'][0]['name']}.credential")
            renewing.write(file, url, ca, token)
            made["users"][0]["user"] = renewing.stanza(file)
        return made

    made = access.run(work)
    if target is None:
        click.echo(yaml.safe_dump(made, sort_keys=False), nl=False)
        return
    write_private(target, yaml.safe_dump(merged(_read(target), made) if merge else made, sort_keys=False))
    click.echo(f"wrote {target}; try: kubectl --kubeconfig {target} --context vcproxy-{id} get namespaces", err=True)


def _address(info: dict[str, str], tenant: TenantId, server: str, form: str) -> str:
    """The server that the kubeconfig names; `info` is what the running proxy says of itself. Raises Failure."""
    try:
        return addressing.address(server or info["publicURL"], tenant, form, info.get("domain", ""))
    except ValueError as error:
        raise Failure(str(error)) from error


def document(tenant: TenantId, user: str, token: str | None, server: str, ca: str, login: str = "") -> dict[str, Any]:
    """A kubeconfig with one cluster, user and context, all named `vcproxy-<id>`.

    Without a token there is no user in it: the context names `login`, a user of the file that this is merged into.
    """
    name = f"vcproxy-{tenant}"
    account = login or (name if user == "admin" else f"{name}-{user}")
    authority = base64.b64encode(ca.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [] if token is None else [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": account}}],
        "current-context": name,
    }


def with_certificate(made: dict[str, Any], pair: Pair) -> dict[str, Any]:
    """A kubeconfig whose user shows a certificate."""
    parts = {"client-certificate-data": pair.certificate, "client-key-data": pair.key}
    made["users"][0]["user"] = {name: base64.b64encode(value).decode() for name, value in parts.items()}
    return made


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
    """The tokens and certificates of a tenant that have not expired; they themselves are kept nowhere."""

    async def work(api: HostApi) -> TokenRecords:
        await get_tenant(api, id)
        found = await api.get(path_of("v1", "configmaps", INSTALLATION, tokens_map_name(id)))
        return TokenRecords.parse((found or {}).get("data")).without_expired(time.time())

    records = [_shown(record) for record in access.run(work).listed()]
    rows = [
        (one["id"], one["kind"], one["user"], ",".join(one["groups"]), one["expires"][:19] + "Z", one["revoked"] or "-")
        for one in records
    ]
    show(
        records,
        form,
        lambda: table(("ID", "KIND", "USER", "GROUPS", "EXPIRES", "REVOKED"), rows) if rows else "no tokens",
    )


@token.command()
@click.argument("id", type=TENANT)
@click.argument("token_id", default="")
@click.option("--user", default="", help="Revoke all tokens and certificates of this user instead.")
@click.option("--all", "everybody", is_flag=True, help="Revoke all tokens and certificates of the tenant instead.")
@access_options
def revoke(access: Access, id: TenantId, token_id: str, user: str, everybody: bool) -> None:
    """Take a token or certificate back, by the id that `token list` shows; counts within 5 seconds."""
    if bool(token_id) + bool(user) + everybody != 1:
        raise click.UsageError("give either a token's id, --user or --all")

    def change(records: TokenRecords) -> TokenRecords:
        if everybody:
            return records.revoke_all(time.time())
        try:
            return records.revoke_user(user, time.time()) if user else records.revoke(token_id, time.time())
        except (KeyError, ValueError):
            raise Failure(f"tenant {id} has no token {token_id}; `vcproxy token list {id}` shows them") from None

    async def work(api: HostApi) -> None:
        await get_tenant(api, id)
        await change_records(api, id, change)

    access.run(work)
    click.echo(f"revoked {token_id or f'all tokens of {user or id}'}")


def _shown(record: IssuedToken) -> dict[str, Any]:
    return {
        "id": record.id,
        "kind": record.kind,
        "user": record.user,
        "groups": list(record.groups),
        "issued": rfc3339(record.issued),
        "expires": rfc3339(record.expires),
        "revoked": None if record.revoked is None else rfc3339(record.revoked),
    }
