"""vcproxy without its first wall: who calls is asked as ever, but every name goes to the host as the client says it.

As the host sees it, this is the worst hole that the rewriting could have. Identities are those of the real program: the
tenant's for all but what the design reads as the proxy (docs/security.md, "Held by the first wall only").

`python -m e2e.attack.unrewritten serve --config FILE`
"""

from vcproxy.cli import main
from vcproxy.core import kinds, request
from vcproxy.core.http import Call, Reply, single
from vcproxy.core.kinds import Exposure
from vcproxy.core.plan import Identity
from vcproxy.core.request import ApiRequest
from vcproxy.flow import Flow
from vcproxy.host.identity import Exchange
from vcproxy.observe.account import Account

LIMIT = 32 << 20


async def straight(self: Flow, call: Call, account: Account) -> Reply:
    """The way of a request, without the steps that decide and rewrite."""
    credential, target = self._credential(call)
    asked = request.parse(call.method, target)
    caller = await self._authenticator.authenticate(credential, account.started)
    self._active(caller, credential)
    exchange = Exchange(self._upstream, caller, clock=self._clock, created=lambda host: None, timeout=20.0)
    raw = await call.read(LIMIT)
    headers = [("Accept", "application/json"), ("User-Agent", single(call, "User-Agent") or "unrewritten")]
    if raw:
        headers.append(("Content-Type", single(call, "Content-Type") or "application/json"))
    response = await exchange.send(call.method, target.decode(), identity(asked), headers=headers, body=raw or None)
    try:
        return Reply(response.status, (("Content-Type", "application/json"),), await response.read(LIMIT))
    finally:
        await response.close()


def identity(asked: ApiRequest) -> Identity:
    """As whom the real program asks."""
    row = kinds.TABLE.get((asked.group, asked.resource))
    read = asked.verb in ("get", "list", "watch") and not asked.subresource
    if row is None or not read:
        return Identity.TENANT
    wide = row.exposure in (Exposure.PRIVATE, Exposure.SHARED)
    shared = asked.verb == "watch" and not asked.parameter("labelSelector") and row.key != ("", "secrets")
    return Identity.READER if wide or shared else Identity.TENANT


if __name__ == "__main__":
    Flow._way = straight  # type: ignore[method-assign]
    main()
