"""`vcproxy tenant`: create, list, describe, suspend, resume, delete."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import click

from vcproxy.cli.output import Failure, age, output_option, show, table
from vcproxy.cli.session import TENANT, Access, access_options, get_tenant, tenant_path
from vcproxy.core.kinds import GUARDED
from vcproxy.core.names import TenantId
from vcproxy.tenants.hostapi import HostApi, HostError

CLASSES: Final = ("storage", "ingress", "runtime", "priority", "device", "volumeAttributes")
"""The lists of `spec.allowedClasses` that have an option."""
LOOK: Final = 0.05
"""Seconds between two looks at a tenant that is waited for."""


@click.group()
def tenant() -> None:
    """Tenants: the owners of virtual clusters."""


@tenant.command()
@click.argument("id", type=TENANT)
@click.option(
    "--profile", type=click.Choice(["hard", "soft"]), default="hard", help="hard: strangers; soft: colleagues."
)
@click.option("--display-name", default="", help="A name for people.")
@click.option("--storage-class", "storage", multiple=True, help="A class of the host that it may use. Repeatable.")
@click.option("--ingress-class", "ingress", multiple=True)
@click.option("--runtime-class", "runtime", multiple=True)
@click.option("--priority-class", "priority", multiple=True)
@click.option("--device-class", "device", multiple=True)
@click.option("--volume-attributes-class", "volumeattributes", multiple=True)
@click.option(
    "--cluster-kind",
    "kinds",
    multiple=True,
    type=click.Choice(sorted(GUARDED)),
    help="A kind of cluster scope that reaches others and that it may write. Repeatable; all of them in profile soft.",
)
@click.option("--certificates", is_flag=True, help="Keep a CA for it: `vcproxy kubeconfig ID --certificate`.")
@click.option("--wait/--no-wait", default=True, help="Return when its cluster can be used.")
@click.option("--timeout", default=60.0, help="Seconds to wait.")
@output_option
@access_options
def create(access: Access, id: TenantId, form: str, wait: bool, timeout: float, **given: Any) -> None:
    """Make a tenant and its cluster."""
    spec: dict[str, Any] = {"profile": given["profile"]}
    if given["display_name"]:
        spec["displayName"] = given["display_name"]
    classes = {name: list(given[name.lower()]) for name in CLASSES if given[name.lower()]}
    if classes:
        spec["allowedClasses"] = classes
    if given["kinds"]:
        spec["clusterKinds"] = list(given["kinds"])
    if given["certificates"]:
        spec["authentication"] = {"clientCertificate": {"issue": True}}
    body = {"apiVersion": "vcproxy.io/v1alpha1", "kind": "Tenant", "metadata": {"name": id}, "spec": spec}

    async def work(api: HostApi) -> dict[str, Any]:
        try:
            made = await api.create(tenant_path(), body)
        except HostError as error:
            raise Failure(_refused(id, error)) from error
        return await _until(api, id, timeout, lambda found: _phase(found) == "Active") if wait else made

    made = access.run(work)
    show(made, form, lambda: f"tenant {id} {'is ready' if wait else 'is being made'}: vcproxy kubeconfig {id}")


def _refused(tenant: TenantId, error: HostError) -> str:
    if error.code == 409:
        return f"there is a tenant {tenant} already"
    if error.code == 404:
        return "the host does not know Tenants: run `vcproxy install` first"
    return f"the host refused: {error}"


@tenant.command("list")
@output_option
@access_options
def list_(access: Access, form: str) -> None:
    """All tenants."""

    async def work(api: HostApi) -> list[dict[str, Any]]:
        return [found async for found in api.items(tenant_path())]

    found = access.run(work)
    rows = [
        (
            one["metadata"]["name"],
            _phase(one),
            (one.get("status") or {}).get("namespaces", 0),
            (one.get("spec") or {}).get("profile", ""),
            age(one["metadata"]["creationTimestamp"]),
        )
        for one in found
    ]
    head = ("NAME", "PHASE", "NAMESPACES", "PROFILE", "AGE")
    show(found, form, lambda: table(head, rows) if rows else "no tenants; make one: vcproxy tenant create NAME")


@tenant.command()
@click.argument("id", type=TENANT)
@output_option
@access_options
def describe(access: Access, id: TenantId, form: str) -> None:
    """One tenant: what it was granted, and how it is."""

    async def work(api: HostApi) -> dict[str, Any]:
        return await get_tenant(api, id)

    found = access.run(work)
    show(found, form, lambda: _described(found))


def _described(found: dict[str, Any]) -> str:
    spec, status = found.get("spec") or {}, found.get("status") or {}
    lines = [
        f"Name:        {found['metadata']['name']}",
        f"For people:  {spec.get('displayName') or '-'}",
        f"Phase:       {_phase(found)}",
        f"Profile:     {spec.get('profile', '')}",
        f"Namespaces:  {status.get('namespaces', 0)}",
    ]
    classes = {kind: names for kind, names in (spec.get("allowedClasses") or {}).items() if names}
    lines += [f"{kind} classes: {', '.join(names)}" for kind, names in classes.items()]
    if "clusterKinds" in spec:
        lines.append(f"It may write: {', '.join(spec['clusterKinds']) or 'none of the kinds that reach others'}")
    for grant in spec.get("grants") or ():
        holders = ", ".join((*grant.get("users", ()), *(f"group {name}" for name in grant.get("groups", ()))))
        where = f" in {', '.join(grant['namespaces'])}" if grant.get("namespaces") else ""
        lines.append(f"Granted:     {grant['role']} to {holders}{where}")
    lines.append("Conditions:")
    lines += [
        f"  {one['type']}={one['status']} ({one['reason']}) {one['message']}" for one in status.get("conditions") or ()
    ]
    return "\n".join(lines)


@tenant.command()
@click.argument("id", type=TENANT)
@access_options
def suspend(access: Access, id: TenantId) -> None:
    """Refuse every request of a tenant; what it runs goes on."""
    _set_suspended(access, id, True)
    click.echo(f"tenant {id} is suspended; its objects stay: vcproxy tenant resume {id}")


@tenant.command()
@click.argument("id", type=TENANT)
@access_options
def resume(access: Access, id: TenantId) -> None:
    """End a suspension."""
    _set_suspended(access, id, False)
    click.echo(f"tenant {id} may go on")


def _set_suspended(access: Access, tenant: TenantId, suspended: bool) -> None:
    wanted = "Suspended" if suspended else "Active"

    async def work(api: HostApi) -> None:
        await get_tenant(api, tenant)
        await api.merge(tenant_path(tenant), {"spec": {"suspended": suspended}})
        await _until(api, tenant, 30.0, lambda found: _phase(found) == wanted)

    access.run(work)


@tenant.command()
@click.argument("id", type=TENANT)
@click.option("--wait/--no-wait", default=False, help="Return when everything of it is gone.")
@click.option("--timeout", default=180.0, help="Seconds to wait.")
@access_options
def delete(access: Access, id: TenantId, wait: bool, timeout: float) -> None:
    """Remove a tenant and everything that is its."""

    async def work(api: HostApi) -> None:
        await get_tenant(api, id)
        await api.delete(tenant_path(id))
        if wait:
            await _until(api, id, timeout, lambda found: found is None)

    access.run(work)
    click.echo(f"tenant {id} {'is gone' if wait else 'is being removed'}")


async def _until(
    api: HostApi, tenant: TenantId, seconds: float, done: Callable[[dict[str, Any] | None], bool]
) -> dict[str, Any]:
    """The Tenant once it is as wanted. Raises Failure that tells how it is instead."""
    found: dict[str, Any] | None = None
    try:
        async with asyncio.timeout(seconds):
            while not done(found := await api.get(tenant_path(tenant))):  # noqa: ASYNC110 - the host is asked
                await asyncio.sleep(LOOK)
    except TimeoutError:
        how = _described(found) if found else "it is gone"
        raise Failure(
            f"tenant {tenant} is not as wanted after {seconds:.0f} s (is `vcproxy serve` running?):\n{how}"
        ) from None
    return found or {}


def _phase(found: dict[str, Any] | None) -> str:
    return str(((found or {}).get("status") or {}).get("phase") or "Pending")
