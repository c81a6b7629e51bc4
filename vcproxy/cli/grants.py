"""`vcproxy grant`, `revoke` and `who-can`: which people of a tenant may do what. docs/rights.md."""

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from vcproxy.cli.output import Failure, output_option, show, table
from vcproxy.cli.session import TENANT, Access, access_options, get_tenant, tenant_path
from vcproxy.core import grants, kinds, rbac_defaults, shadow
from vcproxy.core.grants import EVERYWHERE, Grant, Right
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.rbac import Attributes
from vcproxy.core.rbac_bindings import Holder
from vcproxy.tenants import rights
from vcproxy.tenants.hostapi import HostApi, HostError

TRIES: Final = 8
"""How often a Tenant is written again after somebody else changed it."""
Change = Callable[[set[Right]], set[Right]]


def _people(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments that say what is granted, to whom and where: the command gets them as one Grant."""

    @functools.wraps(command)
    def made(
        role: str, users: tuple[str, ...], groups: tuple[str, ...], namespaces: tuple[str, ...], **others: Any
    ) -> Any:
        return command(said=Grant(role, users, groups, namespaces or None), **others)

    for add in (
        click.option("-n", "--namespace", "namespaces", multiple=True, help="Only there. Repeatable. [everywhere]"),
        click.option("--group", "groups", multiple=True, help="A group of the tenant. Repeatable."),
        click.option("--user", "users", multiple=True, help="A user of the tenant. Repeatable."),
        click.argument("role"),
        click.argument("id", type=TENANT),
    ):
        made = add(made)
    return made


@click.command()
@_people
@output_option
@access_options
def grant(access: Access, id: TenantId, said: Grant, form: str) -> None:
    """Give users and groups of a tenant a role: tenant-admin, tenant-edit, tenant-view, any ClusterRole of it."""
    added = _named(said)

    async def work(api: HostApi) -> tuple[Grant, ...]:
        await _check_role(api, id, said.role)
        return await _change(api, id, lambda held: held | added)

    _show(access.run(work), id, form, f"granted {said.role} in tenant {id}")


@click.command()
@_people
@output_option
@access_options
def revoke(access: Access, id: TenantId, said: Grant, form: str) -> None:
    """Take back what was granted: everywhere, or in the namespaces that are given; counts within a second."""
    named = _named(said)
    people = {(one.kind, one.name) for one in named}

    def gone(right: Right) -> bool:
        if said.namespaces:
            return right in named
        return right.role == said.role and (right.kind, right.name) in people

    def change(held: set[Right]) -> set[Right]:
        rest = {right for right in held if not gone(right)}
        if rest == held:
            raise Failure(f"nothing of that was granted in tenant {id}; `vcproxy tenant describe {id}` shows what was")
        return rest

    async def work(api: HostApi) -> tuple[Grant, ...]:
        return await _change(api, id, change)

    _show(access.run(work), id, form, f"revoked {said.role} in tenant {id}")


def _named(grant: Grant) -> set[Right]:
    """What is meant, taken apart. Raises UsageError where nobody is named."""
    found = grants.rights([grant])
    if not found:
        raise click.UsageError("say whom: --user or --group")
    return found


async def _check_role(api: HostApi, tenant: TenantId, role: str) -> None:
    """Raises Failure for a ClusterRole that the tenant does not have."""
    defaults = [one["metadata"]["name"] for one in rbac_defaults.documents()["ClusterRole"]]
    if role in defaults:
        return
    row = kinds.TABLE[rights.RBAC, "clusterroles"]
    if "/" in role or await api.get(shadow.path(row, tenant, VirtualName(""), role)) is None:
        known = ", ".join(name for name in defaults if name.startswith("tenant-"))
        raise Failure(f"tenant {tenant} has no ClusterRole {role}; it may have made its own, and always has {known}")


async def _change(api: HostApi, tenant: TenantId, change: Change) -> tuple[Grant, ...]:
    """Read, change and write the grants of a tenant; again where somebody else was faster. Raises Failure."""
    for _ in range(TRIES):
        found = await get_tenant(api, tenant)
        held = grants.rights(grants.parse((found.get("spec") or {}).get("grants")))
        wanted = change(set(held))
        made = grants.gathered(wanted)
        if wanted == held:
            return made
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        spec = {"grants": [one.document() for one in made]}
        try:
            await api.merge(tenant_path(tenant), {"metadata": version, "spec": spec})
            return made
        except HostError as error:
            if error.code != 409:
                raise
    raise Failure(f"tenant {tenant} is being changed by others all the time: try again")


def _show(made: tuple[Grant, ...], tenant: TenantId, form: str, words: str) -> None:
    show({"tenant": tenant, "grants": [one.document() for one in made]}, form, lambda: f"{words}\n{_listed(made)}")


def _listed(made: tuple[Grant, ...]) -> str:
    rows = [
        (right.role, right.kind, right.name, right.namespace or "everywhere") for right in sorted(grants.rights(made))
    ]
    return table(("ROLE", "KIND", "NAME", "NAMESPACE"), rows) if rows else "nothing is granted now"


@click.command("who-can")
@click.argument("id", type=TENANT)
@click.argument("verb")
@click.argument("what")
@click.option("-n", "--namespace", default=EVERYWHERE, help="In this namespace of the tenant. [in all of them]")
@click.option("--subresource", default="", help="Such as log, exec, scale, status.")
@click.option("--system", is_flag=True, help="And the parts of a control plane that every cluster knows by name.")
@output_option
@access_options
def who_can(
    access: Access, id: TenantId, verb: str, what: str, namespace: str, subresource: str, system: bool, form: str
) -> None:
    """Who may do something in a tenant, and why. WHAT is pods, pods/NAME, deployments.apps or a path (/metrics)."""
    asked = question(verb, what, namespace, subresource)

    async def work(api: HostApi) -> list[Holder]:
        found = await get_tenant(api, id)
        granted = grants.parse((found.get("spec") or {}).get("grants"))
        return (await rights.read(api, id, granted, namespace)).holders(asked)

    found = [one for one in access.run(work) if system or not _of_control_plane(one)]
    rows = [(one.kind, one.name, f"{one.role_kind} {one.role}", _through(one)) for one in found]
    show(
        [_document(one) for one in found],
        form,
        lambda: table(("KIND", "NAME", "ROLE", "THROUGH"), rows) if rows else "nobody",
    )


def question(verb: str, what: str, namespace: str, subresource: str) -> Attributes:
    """What is asked about, in kubectl's notation (`kubectl auth can-i --help`). Raises UsageError."""
    if what.startswith("/"):
        return Attributes(verb, path=what)
    kind, _, name = what.partition("/")
    resource, dot, group = kind.partition(".")
    groups = sorted(group for group, known in kinds.TABLE if known == resource)  # the core group comes first
    if not dot and resource != "*" and not groups:
        raise click.UsageError(
            f"{resource!r} is no plural of a built-in kind; of others give the group: {resource}.GROUP"
        )
    return Attributes(verb, group if dot else groups[0] if groups else "*", resource, subresource, namespace, name)


def _of_control_plane(one: Holder) -> bool:
    """Whether this is a user such as system:kube-scheduler, through a binding that every cluster has."""
    kind = "RoleBinding" if one.namespace else "ClusterRoleBinding"
    usual = {document["metadata"]["name"] for document in rbac_defaults.documents().get(kind, ())}
    return one.kind == "User" and one.name.startswith("system:") and one.binding in usual


def _through(one: Holder) -> str:
    return f"RoleBinding {one.namespace}/{one.binding}" if one.namespace else f"ClusterRoleBinding {one.binding}"


def _document(one: Holder) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "role": {"kind": one.role_kind, "name": one.role},
        "binding": {"name": one.binding, **({"namespace": one.namespace} if one.namespace else {})},
    }
