"""A command's way to the host: an administrator's kubeconfig, one connection, foreign errors in words of people."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from vcproxy.cli.output import Failure
from vcproxy.core.names import TenantId, tenant_id
from vcproxy.core.status import ApiError
from vcproxy.host.kubeconfig import HostCredentials, KubeconfigError, load_kubeconfig
from vcproxy.host.upstream import Pool
from vcproxy.tenants.hostapi import HostApi, HostError, path_of

T = TypeVar("T")


class Access:
    """Which kubeconfig and context a command uses: the flag, else $KUBECONFIG, else ~/.kube/config."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        given = os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0]
        self.path = kubeconfig or (Path(given) if given else Path.home() / ".kube" / "config")
        self.context = context

    def credentials(self) -> HostCredentials:
        """Raises Failure that names the file."""
        try:
            return load_kubeconfig(self.path, self.context)
        except (KubeconfigError, OSError) as error:
            raise Failure(f"{error}\nGive the host's kubeconfig with --kubeconfig or $KUBECONFIG.") from error

    def run(self, work: Callable[[HostApi], Awaitable[T]]) -> T:
        """The result of `work` with the host's API. Raises Failure."""
        return asyncio.run(self._run(work))

    async def _run(self, work: Callable[[HostApi], Awaitable[T]]) -> T:
        upstream = Pool(self.credentials())
        try:
            return await work(HostApi(upstream, timeout=30.0))
        except HostError as error:
            raise Failure(f"the host refused: {error}") from error
        except ApiError as error:
            raise Failure(f"the host at {self.credentials().server}: {error}") from error
        finally:
            await upstream.close()


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of every command that talks to the host; the command gets an `access` argument."""

    def with_access(kubeconfig: Path | None, context: str | None, **rest: Any) -> Any:
        return command(access=Access(kubeconfig, context), **rest)

    with_access.__name__ = command.__name__
    with_access.__doc__ = command.__doc__
    with_access.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    path = click.Path(path_type=Path, dir_okay=False)
    named = click.option("--kubeconfig", type=path, default=None, help="The host's kubeconfig. [$KUBECONFIG]")(
        with_access
    )
    return click.option("--context", default=None, help="The context in it.")(named)


class TenantIdType(click.ParamType[TenantId]):
    """A tenant's id, checked before anything is asked of the host."""

    name = "tenant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TenantId:
        try:
            return tenant_id(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


TENANT = TenantIdType()


def tenant_path(tenant: str = "") -> str:
    return path_of("vcproxy.io/v1alpha1", "tenants", name=tenant)


async def get_tenant(api: HostApi, tenant: TenantId) -> dict[str, Any]:
    """The Tenant. Raises Failure where there is none."""
    found = await api.get(tenant_path(tenant))
    if found is None:
        raise Failure(f"there is no tenant {tenant}; `vcproxy tenant list` shows those there are")
    return found
