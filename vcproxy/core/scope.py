"""What lenses know of a tenant at one moment."""

from collections.abc import Collection

import msgspec

from vcproxy.core.apis import NONE, OwnApis
from vcproxy.core.exported import NOTHING, Exports
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.nodes import Sight
from vcproxy.core.view import ClassLists, Defaults, TenantView


class Authorities(msgspec.Struct):
    """The host's CA as pods have it, and the proxy's own, which is `shown` for it: PEM, live, for all tenants."""

    host: str = ""
    shown: str = ""


class Scope(msgspec.Struct, frozen=True):
    """What lenses know of a tenant. `learned` takes up host names that were met, so that free text can be mapped.

    `full` is False while a patch is rewritten: then nothing is added that the patch does not name. `apis` are the
    kinds that the tenant defined, `nodes` what it may see of the provider's, `writable` the kinds of
    `core.kinds.GUARDED` that it may write.
    """

    tenant: TenantId
    user: str = ""
    classes: ClassLists = ClassLists()
    namespaces: Collection[VirtualName] = frozenset()
    learned: set[str] = msgspec.field(default_factory=set)
    authorities: Authorities = msgspec.field(default_factory=Authorities)
    full: bool = True
    apis: OwnApis = NONE
    host_audiences: frozenset[str] = frozenset()
    exports: Exports = NOTHING
    nodes: Sight = Sight()
    writable: frozenset[str] = frozenset()
    defaults: Defaults = Defaults()


def of_tenant(
    view: TenantView,
    sight: Sight,
    user: str,
    exports: Exports = NOTHING,
    *,
    namespaces: Collection[VirtualName] | None = None,
    learned: set[str] | None = None,
    authorities: Authorities | None = None,
    host_audiences: frozenset[str] = frozenset(),
) -> Scope:
    """What lenses know of a tenant as it is now. `namespaces`: those of the view, and one that was just made."""
    return Scope(
        view.id,
        user,
        view.classes,
        view.namespaces if namespaces is None else namespaces,
        set() if learned is None else learned,
        Authorities() if authorities is None else authorities,
        apis=view.apis,
        host_audiences=host_audiences,
        exports=exports,
        nodes=sight,
        writable=view.writable,
        defaults=view.defaults,
    )
