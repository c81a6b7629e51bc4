"""What one caller may do, asked of its tenant's live policy: the flow's authorization, and the writer of roles."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

from vcproxy.access.authorizer import denial
from vcproxy.core import escalation, grants, rbac_defaults
from vcproxy.core.caller import Caller, all_groups
from vcproxy.core.kinds import Kind
from vcproxy.core.names import TenantId
from vcproxy.core.rbac import Attributes, User
from vcproxy.core.rbac_places import Place
from vcproxy.core.rbac_policy import Identity, Policy, identity, parsed
from vcproxy.core.rbac_words import Room, excess, growth

Object = dict[str, Any]


class Policies(Protocol):
    """The policies of all tenants, live."""

    def policy(self, tenant: TenantId) -> Policy: ...

    def granted(self, tenant: TenantId) -> Sequence[Object]:
        """The bindings of what the provider grants people of a tenant."""
        ...

    def room(self, tenant: TenantId) -> Room:
        """How many words the roles and bindings of a tenant have, with those being written, and may have."""
        ...

    def reserve(self, tenant: TenantId, named: Identity, more: int) -> Place:
        """A place for the words that a write adds to an object."""
        ...

    def learn(self, tenant: TenantId, document: Object) -> None: ...

    def forget(self, tenant: TenantId, document: Object) -> None: ...


@lru_cache(maxsize=8192)
def user_of(name: str, groups: tuple[str, ...]) -> User:
    """Whom rules are asked for."""
    return User(name, all_groups(name, groups))


class CallerRights:
    """The rights of one caller (host.shadow_rights.Rights). `created` is when its tenant was made, in epoch seconds."""

    def __init__(self, policies: Policies, caller: Caller, created: Callable[[], float]) -> None:
        self._policies = policies
        self._caller = caller
        self._created = created

    @property
    def policy(self) -> Policy:
        return self._policies.policy(self._caller.tenant)

    @property
    def user(self) -> User:
        return user_of(self._caller.user, self._caller.groups)

    def authorize(self, asked: Attributes) -> None:
        """Nothing if the caller may; else raises ApiError 403 with the text of the API server."""
        if not self.policy.allows(self.user, asked):
            raise denial(self._caller.user, asked)

    def defaults(self, row: Kind) -> Sequence[Object]:
        """The objects of a kind that every tenant has, and those of its grants."""
        granted = (one for one in self._policies.granted(self._caller.tenant) if one["kind"] == row.kind)
        return [self._dressed(document) for document in (*rbac_defaults.documents().get(row.kind, ()), *granted)]

    def _dressed(self, document: Object) -> Object:
        """With what an object has of its cluster; grants bring a resourceVersion, the rest is the same for ever."""
        metadata = document["metadata"]
        name = f"{document['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"
        uid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._caller.tenant_uid}/{name}"))
        made = datetime.fromtimestamp(self._created(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        own = {"uid": uid, "resourceVersion": "1", "creationTimestamp": made}
        return {**document, "metadata": {**own, **metadata}}

    def made(self, row: Kind) -> Mapping[str, object]:
        """What of a kind is made of other things: bindings of grants, the rules of ClusterRoles that are aggregated."""
        if row.kind == "ClusterRole":
            return self.policy.gathered()
        return {"grants": [one for one in self._policies.granted(self._caller.tenant) if one["kind"] == row.kind]}

    def completed(self, document: Object) -> Object:
        """A ClusterRole that is aggregated with the rules that the aggregation controller would write."""
        if document.get("kind") != "ClusterRole" or not document.get("aggregationRule"):
            return document
        rules = self.policy.rules_of("", str(document["metadata"].get("name"))) or ()
        return {**document, "rules": [rule.document() for rule in rules] or None}

    def refusal(self, document: Object, old: Object | None, name: str) -> str | None:
        """Why the caller may not write an object, None if it may; `name` is the URL's, empty for a POST.

        Raises ApiError 404 for an absent role.
        """
        if grants.reserved(document):
            return f"names that begin with {grants.PREFIX} are those of what the provider of this cluster grants"
        if refused := escalation.refusal(self.policy, self.user, document, old, name):
            return refused
        room = self._policies.room(self._caller.tenant)
        return excess(room, parsed(document), parsed(old) if old is not None else None)

    def reserve(self, document: Object, old: Object | None) -> Place:
        """A place for what a write makes more, which goes on within it; taken as soon as it is not refused."""
        more = growth(parsed(document), parsed(old) if old is not None else None)
        return self._policies.reserve(self._caller.tenant, identity(document), more)

    def learn(self, document: Object) -> None:
        self._policies.learn(self._caller.tenant, document)

    def forget(self, document: Object) -> None:
        self._policies.forget(self._caller.tenant, document)
