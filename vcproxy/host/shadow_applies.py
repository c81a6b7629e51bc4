"""Server-side apply (KEP-555) of Shadow kinds: the host merges, so what would come of it is judged before it counts."""

from typing import Any, Final

from vcproxy.core import bodies, guard, shadow, status
from vcproxy.core.plan import Shadow
from vcproxy.core.printers import Object
from vcproxy.core.request import ApiRequest, render_query
from vcproxy.core.scope import Scope
from vcproxy.host.answers import HostRefusal
from vcproxy.host.shadow_rights import Rights, judge
from vcproxy.host.shadow_store import WRITING, ShadowStore, namespace_of

TRIES: Final = 5
"""How often a write that names no resourceVersion is tried after a conflict."""
_APPLY: Final = "application/apply-patch+yaml"


class ShadowApplier:
    """Applies for one caller."""

    def __init__(self, store: ShadowStore, scope: Scope, rights: Rights) -> None:
        self._store = store
        self._scope = scope
        self._rights = rights

    async def apply(self, wanted: Shadow, request: ApiRequest, patch: Any) -> tuple[int, Object]:
        """A server-side apply: tried dry, judged, and done on the very version that was judged."""
        row = wanted.row
        guard.check(patch, request, row, (row.group, row.kind), self._scope.tenant)
        shadow.check(patch, row)
        body = {**patch, "metadata": {**(patch.get("metadata") or {})}}
        dry = [pair for pair in wanted.query if pair[0] != "dryRun" and pair[0] in WRITING]
        for left in reversed(range(TRIES)):
            old = await self._store.present(wanted)
            if old is not None and not (patch.get("metadata") or {}).get("resourceVersion"):
                body["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            sent = await self._up(wanted, body, old)
            try:
                tried = await self._patch(wanted, [*dry, ("dryRun", "All")], sent)
                with judge(self._rights, wanted, tried, old):
                    if dict(wanted.query).get("dryRun"):
                        return 200 if old else 201, tried
                    return 200 if old else 201, await self._patch(wanted, dry, sent)
            except HostRefusal as refusal:
                moved = refusal.status.code == 409 and "has been modified" in refusal.status.message
                if not moved or (patch.get("metadata") or {}).get("resourceVersion") or not left:
                    raise
        raise status.internal()

    async def _up(self, wanted: Shadow, body: Object, old: Object | None) -> bytes:
        made = shadow.patch_up(body, wanted.row, self._scope)
        if old is not None and shadow.last_applied(made):
            path = self._store.object_path(wanted)
            stored = await self._store.send(wanted, "GET", path, namespace_of(wanted))
            shadow.keep_applied(made, stored, wanted.row, self._scope)
        return bodies.encode_apply(made)

    async def _patch(self, wanted: Shadow, query: list[tuple[str, str]], sent: bytes) -> Object:
        path = self._store.object_path(wanted) + render_query(query)
        return await self._store.ask(wanted, "PATCH", path, sent, _APPLY)
