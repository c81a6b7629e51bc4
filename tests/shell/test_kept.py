"""Views that are kept: found only under the circumstances that they were made under, and never too many."""

import msgspec
import pytest

from vcproxy.core import kinds
from vcproxy.core.apis import collect
from vcproxy.core.names import TenantId, VirtualName
from vcproxy.core.plan import Forward, Identity
from vcproxy.core.scope import Authorities, Scope
from vcproxy.core.view import ClassLists
from vcproxy.host import kept
from vcproxy.host.kept import KeptViews

ROW = kinds.TABLE["", "configmaps"]
PLAN = Forward(ROW, "GET", "/api/v1/namespaces/acme-web/configmaps/a", (), Identity.TENANT)
SCOPE = Scope(TenantId("acme"), "ann", ClassLists(), frozenset({VirtualName("web")}))


def kept_view() -> KeptViews:
    views = KeptViews()
    views.keep(b"{}", PLAN, SCOPE, b"view")
    return views


def test_the_same_bytes_under_the_same_circumstances_are_found() -> None:
    assert kept_view().find(b"{}", PLAN, SCOPE) == b"view"


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": TenantId("globex")},
        {"user": "bob"},
        {"namespaces": frozenset({VirtualName("web"), VirtualName("new")})},
        {"classes": ClassLists(storage=frozenset({"fast"}))},
        {"authorities": Authorities(shown="another")},
        {"apis": collect((), "1", ())},
        {"learned": set()},
    ],
)
def test_whatever_lenses_look_at_makes_another_view(changed: dict[str, object]) -> None:
    assert kept_view().find(b"{}", PLAN, msgspec.structs.replace(SCOPE, **changed)) is None


def test_other_bytes_another_kind_and_another_identity_are_not_found() -> None:
    views = kept_view()
    assert views.find(b"{ }", PLAN, SCOPE) is None
    assert views.find(b"{}", msgspec.structs.replace(PLAN, row=kinds.TABLE["", "pods"]), SCOPE) is None
    assert views.find(b"{}", msgspec.structs.replace(PLAN, identity=Identity.READER), SCOPE) is None


def test_a_name_that_was_learned_since_makes_another_view() -> None:
    scope = msgspec.structs.replace(SCOPE, learned=set())
    views = KeptViews()
    views.keep(b"{}", PLAN, scope, b"view")
    scope.learned.add("acme-gold")
    assert views.find(b"{}", PLAN, scope) is None


def test_a_certificate_that_is_another_now_makes_another_view() -> None:
    scope = msgspec.structs.replace(SCOPE, authorities=Authorities("host", "shown"))
    for part in ("host", "shown"):
        views = KeptViews()
        views.keep(b"{}", PLAN, scope, b"view")
        assert views.find(b"{}", PLAN, scope) == b"view"
        setattr(scope.authorities, part, "rotated")
        assert views.find(b"{}", PLAN, scope) is None


def test_there_are_never_too_many_nor_too_large_ones() -> None:
    views = KeptViews()
    for number in range(kept.MOST + 5):
        views.keep(b"%d" % number, PLAN, SCOPE, b"")
    assert len(views._kept) == kept.MOST
    assert views.find(b"0", PLAN, SCOPE) is None
    large = b"x" * (kept.LARGEST + 1)
    views.keep(large, PLAN, SCOPE, b"")
    assert views.find(large, PLAN, SCOPE) is None
