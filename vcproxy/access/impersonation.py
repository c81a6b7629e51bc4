"""A user of a tenant acting as another one of the same tenant: `kubectl --as`, `--as-group`, `--as-uid`.

The headers and the rights are those of the API server (kubernetes.io: Authentication, "User impersonation"): whoever
asks must be allowed to `impersonate` each user, group, uid and extra value that is named. Nothing of it reaches the
host but two names for its audit log: there, everything runs as the tenant.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from vcproxy.access.authorizer import denial
from vcproxy.access.mapping import NAME_LIMIT
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
USER_LIMIT: Final = 8192
"""Bytes of all names of one request: users that were asked about are kept."""
_RESERVED_USERS: Final = ("system:node:", "vcproxy:")
_RESERVED_GROUPS: Final = ("system:masters", "system:nodes", "vcproxy:")

_bad_escape = re.compile("%(?![0-9a-fA-F]{2})")

Authorize = Callable[[Attributes], None]
"""Raises ApiError 403 where the caller may not."""


def act(caller: Caller, call: Call, authorize: Authorize) -> Caller:
    """Who the request is made as: the caller, or whom the headers name. Raises ApiError 400 and 403."""
    if not call.begins(PREFIX):
        return caller
    users, groups, uids = (
        [_text(value) for value in call.getall(name)]
        for name in ("Impersonate-User", "Impersonate-Group", "Impersonate-Uid")
    )
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
    _check_size(wanted)
    for asked in _questions(wanted):
        _refuse_reserved(caller, asked)
        authorize(asked)
    return msgspec.structs.replace(wanted, groups=_groups(wanted))


def _text(value: str) -> str:
    """A header's value, whose bytes are read as UTF-8, as in Go. Raises ApiError 400 for what is none."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise status.bad_request("the values of impersonation headers are UTF-8") from None


def _extra(call: Call) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in call.items():
        if name.startswith(EXTRA_PREFIX):
            key = _key(name[len(EXTRA_PREFIX) :])
            found[key] = (*found.get(key, ()), _text(value))
    return found


def _key(name: str) -> str:
    """The key of a header's name, in lower case but for what is escaped in it; one badly escaped stands for itself.

    Names of headers hold no `/` (k8s.io/apiserver: pkg/endpoints/filters/impersonation). Raises ApiError 400.
    """
    if _bad_escape.search(name):
        return name
    try:
        return unquote_to_bytes(name).decode()
    except UnicodeDecodeError:
        raise status.bad_request("the keys of Impersonate-Extra- headers are UTF-8, percent-encoded") from None


def _check_size(wanted: Caller) -> None:
    values = [value for values in wanted.extra.values() for value in values]
    if len(wanted.groups) + len(values) > VALUE_LIMIT:
        raise status.bad_request(f"a request may impersonate {VALUE_LIMIT} groups and extra values at most")
    sizes = [len(name.encode()) for name in (wanted.user, *wanted.groups, wanted.uid, *wanted.extra, *values)]
    if max(sizes) > NAME_LIMIT or sum(sizes) > USER_LIMIT:
        raise status.bad_request(
            f"a user, group, uid or extra that is impersonated has {NAME_LIMIT} bytes at most, all {USER_LIMIT}"
        )


def _questions(wanted: Caller) -> Iterator[Attributes]:
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
