"""`vcproxy keys`: the keys that sign tokens and seal continue tokens."""

import base64
import time

import click

from vcproxy.access.keys import KEY_LIMIT, Keys, KeysError
from vcproxy.cli import issuing
from vcproxy.cli.output import Failure
from vcproxy.cli.session import TENANT, Access, access_options
from vcproxy.core.names import TenantId
from vcproxy.tenants.hostapi import HostApi, HostError, path_of
from vcproxy.tenants.manifests import INSTALLATION, KEYS_SECRET


@click.group()
def keys() -> None:
    """The keys that sign tokens, and the certificate authorities of tenants."""


@keys.command()
@access_options
def rotate(access: Access) -> None:
    """Sign with a new key from now on; tokens of the older ones stay good. Running proxies follow by themselves."""

    async def work(api: HostApi) -> int:
        return await rotated(api)

    count = access.run(work)
    click.echo(f"new tokens are signed with a new key; {count} of {KEY_LIMIT} are kept, the oldest goes first")


async def rotated(api: HostApi) -> int:
    """How many keys there are after a rotation. Raises Failure."""
    where = path_of("v1", "secrets", INSTALLATION, KEYS_SECRET)
    secret = await api.get(where)
    if secret is None:
        raise Failure("the host has no keys of vcproxy: run `vcproxy install` first")
    try:
        data = {name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()}
        made = Keys.rotate(data, time.time())
        count = Keys.from_secret(made).signing_count
        encoded = {name: base64.b64encode(value).decode() for name, value in made.items()}
        await api.replace(where, {**secret, "data": encoded})
    except KeysError as error:
        raise Failure(f"the keys cannot be read and are left as they are: {error}") from error
    except HostError as error:
        if error.code != 409:
            raise
        raise Failure("somebody else changed the keys at the same time: try again") from error
    return count


@keys.command("renew-ca")
@click.argument("id", type=TENANT)
@access_options
def renew_ca(access: Access, id: TenantId) -> None:
    """Give a tenant a new CA at once; what its CAs signed counts no more. (In time this happens by itself, softly.)"""

    async def work(api: HostApi) -> None:
        await issuing.renew(api, id)

    access.run(work)
    click.echo(f"tenant {id} has a new CA; certificates of before are refused within 5 seconds")
