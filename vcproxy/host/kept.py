"""Views of small objects, kept by the very bytes that the host sent: operators ask for the same object again and again.

Nothing is answered from here that the host was not asked for: what is saved is the rewriting, not the request.
"""

from typing import Final

import msgspec

from vcproxy.core.plan import Forward
from vcproxy.core.scope import Scope

LARGEST: Final = 8192
"""Bytes of an answer whose view is kept."""
MOST: Final = 1024
"""Views that are kept: with the bytes that they are of, 16 MiB at most."""

_Key = tuple[bytes, str, str, str, str, str]


class _Kept(msgspec.Struct, frozen=True):
    """A view and what it was made under, but for the bytes: it counts only while all of that is the same."""

    scope: Scope
    learned: int
    authorities: tuple[str, str]
    view: bytes


class KeptViews:
    """A bounded memory of views; the oldest goes first."""

    def __init__(self) -> None:
        self._kept: dict[_Key, _Kept] = {}

    def find(self, raw: bytes, plan: Forward, scope: Scope) -> bytes | None:
        """The view of an answer to this plan, if it was made before under the same circumstances."""
        found = self._kept.get(_key(raw, plan, scope)) if len(raw) <= LARGEST else None
        if found is None or not _same(found, scope):
            return None
        return found.view

    def keep(self, raw: bytes, plan: Forward, scope: Scope, view: bytes) -> None:
        """Remember the view of an answer."""
        if len(raw) > LARGEST:
            return
        while len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[_key(raw, plan, scope)] = _Kept(scope, len(scope.learned), _authorities(scope), view)


def _key(raw: bytes, plan: Forward, scope: Scope) -> _Key:
    return raw, plan.row.group, plan.row.resource, plan.identity.value, scope.tenant, scope.user


def _same(kept: _Kept, scope: Scope) -> bool:
    """Whether lenses would see the same: snapshots of a tenant are made anew whenever anything of them changes."""
    before = kept.scope
    return (
        before.namespaces is scope.namespaces
        and before.classes is scope.classes
        and before.learned is scope.learned
        and kept.learned == len(scope.learned)
        and before.apis is scope.apis
        and kept.authorities == _authorities(scope)
    )


def _authorities(scope: Scope) -> tuple[str, str]:
    """What is live in a scope, as it is now."""
    return scope.authorities.host, scope.authorities.shown
