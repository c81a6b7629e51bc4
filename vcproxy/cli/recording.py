"""The records of what was issued, changed by commands, and how long what is issued lives."""

from typing import Any, Final

from vcproxy.access.records import TokenRecords, tokens_map_name
from vcproxy.cli.output import Failure
from vcproxy.config.settings import SETTINGS
from vcproxy.config.values import duration
from vcproxy.core.names import TenantId
from vcproxy.tenants import info
from vcproxy.tenants.hostapi import HostApi, HostError, Object, path_of
from vcproxy.tenants.manifests import INSTALLATION, TOKENS_LABEL

TRIES: Final = 8
"""How often a ConfigMap of tokens is written again after somebody else changed it."""


async def lives(api: HostApi) -> tuple[float, float]:
    """The usual and the longest life of what is issued, in seconds, as the running proxy says; else the defaults."""
    found = await api.get(info.PATH)
    data = (found or {}).get("data") or {}
    settings = {setting.path: setting.default for setting in SETTINGS}
    usual = data.get("tokenLife", settings["tokens.life"])
    longest = data.get("longestTokenLife", settings["tokens.longestLife"])
    return duration(usual), duration(longest)


async def change_records(api: HostApi, tenant: TenantId, change: Any) -> TokenRecords:
    """Read, change and write the records of a tenant; again where somebody else was faster. Raises Failure."""
    collection = path_of("v1", "configmaps", INSTALLATION)
    where = path_of("v1", "configmaps", INSTALLATION, tokens_map_name(tenant))
    for _ in range(TRIES):
        found = await api.get(where)
        try:
            records: TokenRecords = change(TokenRecords.parse((found or {}).get("data")))
            if found is None:
                await api.create(collection, _tokens_map(tenant, records))
            else:
                await api.replace(where, {**found, "data": records.data()})
            return records
        except ValueError as error:
            raise Failure(str(error)) from error
        except HostError as error:
            if error.code != 409:
                raise
    raise Failure(f"the tokens of {tenant} are being changed by others all the time: try again")


def _tokens_map(tenant: TenantId, records: TokenRecords) -> Object:
    metadata = {
        "name": tokens_map_name(tenant),
        "namespace": INSTALLATION,
        "labels": {TOKENS_LABEL: str(tenant)},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": records.data()}
