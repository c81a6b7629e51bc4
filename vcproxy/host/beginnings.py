"""Whether a request asks for a past of the host from before its tenant: core.births says so, the host confirms it."""

from typing import Final

from vcproxy.core import births, plan, selectors
from vcproxy.core.kinds import Exposure
from vcproxy.core.media import JSON
from vcproxy.core.names import VirtualName, up
from vcproxy.core.plan import Identity
from vcproxy.core.request import ApiRequest, render_query, resource_path
from vcproxy.core.view import TenantView
from vcproxy.host import answers
from vcproxy.host.identity import Exchange

_NONE: Final = render_query([("limit", "1"), ("labelSelector", selectors.NOTHING)])


async def check(asked: ApiRequest, decided: plan.Plan, view: TenantView, exchange: Exchange) -> None:
    """Raises ApiError 410 for such a request, 502 to 504 where the host does not say."""
    refusal = births.too_old(asked, view.birth)
    if refusal is not None and await _is_comparable(asked, decided, view, exchange):
        raise refusal


async def _is_comparable(asked: ApiRequest, decided: plan.Plan, view: TenantView, exchange: Exchange) -> bool:
    """Whether the versions of a kind have come past the tenant's birth, as all have that share an etcd with it.

    A host may keep any kind in another one (kube-apiserver: --etcd-servers-overrides). Where versions have not come as
    far there, to refuse them would be to refuse for ever.
    """
    if (
        not isinstance(decided, plan.Watch | plan.List | plan.Forward)
        or decided.row.exposure is not Exposure.NAMESPACED
    ):
        return True
    place = up(view.id, VirtualName("default"))
    target = resource_path(asked.group, asked.version, asked.resource, place) + _NONE
    response = await exchange.send("GET", target, Identity.TENANT, headers=(("Accept", JSON),), namespace=place)
    try:
        if response.status != 200:
            return True
        listed = await answers.answer(response)
    finally:
        await response.close()
    newest = str(listed.list_metadata().get("resourceVersion", ""))
    return newest.isdecimal() and int(newest) >= view.birth.of(asked.group, asked.resource)
