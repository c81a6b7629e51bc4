"""A user of a tenant acting as another one of the same tenant: `kubectl --as`, `--as-group`, `--as-uid`.

The headers and the rights are those of the API server (kubernetes.io: Authentication, "User impersonation"): whoever
asks must be allowed to `impersonate` each user, group, uid and extra value that is named. Nothing of it reaches the
host but two names for its audit log: there, everything runs as the tenant.
"""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote

import msgspec

from vcproxy.access.authorizer import denial
from vcproxy.core import status
from vcproxy.core.caller import Caller
from vcproxy.core.http import Call
from vcproxy.core.rbac import Attributes

PREFIX: Final = b"impersonate-"
EXTRA_PREFIX: Final = "impersonate-extra-"
ACCOUNT_PREFIX: Final = "system:serviceaccount:"
GROUP: Final = "authentication.k8s.io"
VALUE_LIMIT: Final = 256
"""Groups and extra values that one request may name: each is a question of rights."""
_RESERVED_USERS: Final = ("system:node:", "vcproxy:")
_RESERVED_GROUPS: Final = ("system:masters", "system:nodes", "vcproxy:")

Authorize = Callable[[Attributes], None]
"""Raises ApiError 403 where the caller may not."""


def act(caller: Caller, call: Call, authorize: Authorize) -> Caller:
    """Who the request is made as: the caller, or whom the headers name. Raises ApiError 400 and 403."""
    if not call.begins(PREFIX):
        return caller
    users = call.getall("Impersonate-User")
    groups = call.getall("Impersonate-Group")
    uids = call.getall("Impersonate-Uid")
    extra = _extra(call)
    if not (users or groups or uids or extra):
        return caller
    if len(users) != 1 or not users[0] or len(uids) > 1:
        raise status.bad_request("impersonation needs one Impersonate-User, and one Impersonate-Uid at most")
    wanted = Caller(
        caller.tenant,
        caller.tenant_uid,
        users[0],
        tuple(groups),
        uids[0] if uids else "",
        extra,
        caller.credential_id,
        caller.expires,
        actor=caller.user,
    )
    for asked in _questions(wanted):
        _refuse_reserved(caller, asked)
        authorize(asked)
    return msgspec.structs.replace(wanted, groups=_groups(wanted))


def _extra(call: Call) -> dict[str, tuple[str, ...]]:
    """Keys are lower case and may be escaped, for header names hold no `/`."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in call.items():
        if name.startswith(EXTRA_PREFIX):
            key = unquote(name[len(EXTRA_PREFIX) :]).lower()
            found[key] = (*found.get(key, ()), value)
    return found


def _questions(wanted: Caller) -> Iterator[Attributes]:
    if len(wanted.groups) + sum(map(len, wanted.extra.values())) > VALUE_LIMIT:
        raise status.bad_request(f"a request may impersonate {VALUE_LIMIT} groups and extra values at most")
    account = _account(wanted.user)
    if account is not None:
        yield Attributes("impersonate", "", "serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Attributes("impersonate", "", "users", name=wanted.user)
    for group in wanted.groups:
        yield Attributes("impersonate", "", "groups", name=group)
    for key, values in wanted.extra.items():
        for value in values:
            yield Attributes("impersonate", GROUP, "userextras", key, name=value)
    if wanted.uid:
        yield Attributes("impersonate", GROUP, "uids", name=wanted.uid)


def _account(user: str) -> tuple[str, str] | None:
    """Namespace and name of a ServiceAccount's user."""
    namespace, colon, name = user.removeprefix(ACCOUNT_PREFIX).partition(":")
    known = user.startswith(ACCOUNT_PREFIX) and colon and namespace and name and ":" not in name
    return (namespace, name) if known else None


def _refuse_reserved(caller: Caller, asked: Attributes) -> None:
    """Names that mean the host's own components, or vcproxy: nobody in a tenant is one of them."""
    reserved = {"users": _RESERVED_USERS, "groups": _RESERVED_GROUPS}.get(asked.resource, ())
    if asked.name.startswith(tuple(reserved)):
        raise denial(caller.user, asked)


def _groups(wanted: Caller) -> tuple[str, ...]:
    account = _account(wanted.user)
    if account is None or wanted.groups:
        return wanted.groups
    return ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
