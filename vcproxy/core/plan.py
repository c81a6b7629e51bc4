"""Plans: what is to be done with a request, as values that can be printed and compared. core.decision makes them."""

from enum import Enum
from typing import Final

import msgspec

from vcproxy.core.documents import Document
from vcproxy.core.kinds import Kind
from vcproxy.core.names import VirtualName
from vcproxy.core.parameters import Pairs
from vcproxy.core.request import render_query
from vcproxy.core.status import Status


class Identity(Enum):
    """As whom the host is asked: as the tenant (impersonated), or as the proxy's own read identity."""

    TENANT = "tenant"
    READER = "reader"


class BodyUse(Enum):
    NONE = "none"
    OBJECT = "object"
    PATCH = "patch"
    OPTIONS = "options"


class Position(msgspec.Struct, frozen=True):
    """Where a chunked list goes on: the namespace (empty for one list), the host's token, the resourceVersion."""

    namespace: str
    token: str
    resource_version: str


class Deny(msgspec.Struct, frozen=True, tag=True):
    status: Status


class Answer(msgspec.Struct, frozen=True, tag=True):
    document: Document


class Forward(msgspec.Struct, frozen=True, tag=True):
    """One request to the host. `namespace` is the host's; `body_kind` is the (group, kind) of the body and its rules.

    `name` is the object's, as the tenant has it.

    `beside`: queries of what is listed beside a tenant's own objects of a Private kind.

    `stream` bodies are bytes of a container. `create_first`: a Namespace that is not there yet; on the host the tenant
    may patch it only once it exists.
    """

    row: Kind
    method: str
    path: str
    query: Pairs
    identity: Identity
    body: BodyUse = BodyUse.NONE
    body_kind: tuple[str, str] = ("", "")
    namespace: str = ""
    stream: bool = False
    create_first: bool = False
    name: str = ""
    beside: tuple[Pairs, ...] = ()

    @property
    def target(self) -> str:
        return self.path + render_query(list(self.query))


class Tunnel(msgspec.Struct, frozen=True, tag=True):
    """A switch of protocols: exec, attach or port-forward of a pod of the tenant's."""

    row: Kind
    method: str
    path: str
    query: Pairs
    namespace: str

    @property
    def target(self) -> str:
        return self.path + render_query(list(self.query))


class Proxy(msgspec.Struct, frozen=True, tag=True):
    """HTTP to a pod or service of the tenant's, through the host. `method` is the client's own.

    `shown` is what stands for `path` in the tenant's view: the host writes `path` into pages that it passes on.
    """

    row: Kind
    method: str
    path: str
    tail: str
    query: Pairs
    namespace: str
    shown: str

    @property
    def target(self) -> str:
        return self.path + self.tail + render_query(list(self.query))


class List(msgspec.Struct, frozen=True, tag=True):
    """One list over several namespaces (virtual, in order), each asked for with `query`, merged."""

    row: Kind
    version: str
    namespaces: tuple[VirtualName, ...]
    query: Pairs
    limit: int = 0
    position: Position | None = None


class Watch(msgspec.Struct, frozen=True, tag=True):
    """A watch: of cluster-scoped objects (one host watch), or of the namespaces named, or of all (`None`).

    `beside`: queries of what is watched beside a tenant's own objects of a Private kind.
    """

    row: Kind
    version: str
    query: Pairs
    identity: Identity
    namespaces: tuple[VirtualName, ...] | None = ()
    beside: tuple[Pairs, ...] = ()


class Shadow(msgspec.Struct, frozen=True, tag=True):
    """A request about a Shadow kind. `name` is the tenant's; `namespaces` too, `None` stands for all.

    Of a kind of cluster scope `namespaces` is the one without a name. `absent`: what is asked for is in a namespace
    that does not exist.
    """

    row: Kind
    verb: str
    name: str
    query: Pairs
    namespaces: tuple[VirtualName, ...] | None
    absent: bool = False


Plan = Deny | Answer | Forward | List | Watch | Tunnel | Proxy | Shadow

NAMESPACES: Final = ("", "namespaces")
