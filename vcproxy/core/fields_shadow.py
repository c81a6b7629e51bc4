"""Lenses of Shadow kinds: the group, escaped name and place of what vcproxy's own custom resources stand for."""

from collections.abc import Callable
from typing import Any, Final

from vcproxy.core.escape import escape, unescape
from vcproxy.core.fields_managed import MANAGED_FIELDS
from vcproxy.core.lens import Inside, Lens, Way
from vcproxy.core.scope import Scope

SHADOW_GROUP: Final = "shadow.vcproxy.io"
SHADOW_VERSION: Final = "v1"
SHADOW: Final = f"{SHADOW_GROUP}/{SHADOW_VERSION}"


def _mapped(function: Callable[[str], str]) -> Way:
    return lambda value, scope: function(value) if isinstance(value, str) and value else value


NAME: Final = Lens("SHADOW_NAME", _mapped(escape), _mapped(unescape))


def version(view: str) -> Lens:
    """The apiVersion of a group of which all kinds stand in one version; `view` is `group/version`."""
    return Lens("SHADOW_VERSION", _mapped(lambda value: SHADOW), _mapped(lambda value: view))


def managed_fields(view: str) -> Lens:
    """Managed fields, each entry of which names the version that its fields are those of."""

    def entries(value: Any, api_version: str) -> Any:
        if not isinstance(value, list):
            return value
        return [{**one, "apiVersion": api_version} if isinstance(one, dict) else one for one in value]

    def down(value: Any, scope: Scope) -> Any:
        return entries(MANAGED_FIELDS.down(value, scope), view)

    return Lens("SHADOW_MANAGED_FIELDS", lambda value, scope: entries(value, SHADOW), down, Inside.CLOSED)


def _nowhere(value: Any, scope: Scope) -> Any:
    return None


CLUSTER_SCOPE: Final = Lens("CLUSTER_SCOPE", _nowhere, _nowhere, hides=True)
"""The namespace of an object of cluster scope: it has one on the host only, which stands in the path."""
GENERATION: Final = Lens("GENERATION", _nowhere, _nowhere, hides=True)
"""Every custom resource has a generation, few built-in kinds do."""


def rows(view: str, *, namespaced: bool) -> tuple[tuple[str, Lens], ...]:
    """The rows of a Shadow kind; `view` is its apiVersion as tenants know it."""
    own = (
        ("apiVersion", version(view)),
        ("metadata.name", NAME),
        ("metadata.generateName", NAME),
        ("metadata.managedFields", managed_fields(view)),
        ("metadata.generation", GENERATION),
    )
    return own if namespaced else (*own, ("metadata.namespace", CLUSTER_SCOPE))
