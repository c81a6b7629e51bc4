"""Requests for a past of the host that was before a tenant came to be: another owner may have had its id then.

The host remembers for minutes what was under a name, and takes the same name for the same thing: a watch from then, or
a list of exactly then, would tell the objects of the former owner. For a tenant such a version is as one that the host
no longer has.
"""

from typing import Final

import msgspec

from vcproxy.core import status
from vcproxy.core.request import ApiRequest
from vcproxy.core.status import ApiError
from vcproxy.core.versions import version_of
from vcproxy.core.view import Birth

YOUNG: Final = 60.0
"""Seconds of a tenant's life in which "any version" is read as "the newest": a cache of the host may be behind."""
_LISTS: Final = ("list", "deletecollection")


def too_old(asked: ApiRequest, birth: Birth) -> ApiError | None:
    """The refusal (410 Expired) of a request for what was before a tenant; None for every other one."""
    born, version = birth.of(asked.group, asked.resource), _past(asked)
    if not 0 < version < born:
        return None
    if asked.verb == "watch":
        return status.gone(f"too old resource version: {version} ({born})")
    return status.gone("The resourceVersion for the provided list is too old.")


def _past(asked: ApiRequest) -> int:
    """The version whose own time a request is about; 0 where it is about now, or about "not older than".

    A list with a limit is one of exactly its version where it says nothing else (KEP-1904). Continue tokens are sealed
    for one tenant (access.sealing).
    """
    text = asked.parameter("resourceVersion") or ""
    exact = asked.parameter("resourceVersionMatch") == "Exact"
    legacy = not asked.parameter("resourceVersionMatch") and asked.parameter("limit") is not None
    if asked.verb != "watch" and not (asked.verb in _LISTS and (exact or legacy)):
        return 0
    return version_of(text)


def fresh(asked: ApiRequest, birth: Birth, age: float) -> ApiRequest:
    """A read of "any version", or of one not older than the tenant is, becomes one of the newest while it is young.

    `age` is in seconds. A cache of the host that is behind could still show what the id had before.
    """
    text = asked.parameter("resourceVersion") or ""
    number = version_of(text)
    odd = not number and bool(text.strip("0"))  # the host's to refuse
    if not text or odd or age >= YOUNG or number >= max(1, birth.of(asked.group, asked.resource)):
        return asked
    if too_old(asked, birth) is not None:
        return asked
    dropped = {"resourceVersion"} if asked.flag("sendInitialEvents") else {"resourceVersion", "resourceVersionMatch"}
    return msgspec.structs.replace(asked, query=tuple(pair for pair in asked.query if pair[0] not in dropped))
