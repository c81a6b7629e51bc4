"""Which tenant an address names: `/t/<id>/...` in the path, or `<id>.<domain>` as the host name."""

from typing import Final
from urllib.parse import urlsplit

from vcproxy.core.status import bad_request

PREFIX: Final = b"/t/"
PLAIN: Final = "plain"
PATH: Final = "path"
NAME: Final = "name"
FORMS: Final = (PLAIN, PATH, NAME)
"""How an address names a tenant: not at all, by its path, by its host name."""


def address(url: str, tenant: str, form: str, domain: str) -> str:
    """The server of a kubeconfig that names `tenant` in the `form` that is wanted; `url` is the proxy's own.

    Raises ValueError for the host name where there is no domain.
    """
    if form == PATH:
        return f"{url}{PREFIX.decode()}{tenant}"
    if form == PLAIN:
        return url
    if not domain:
        raise ValueError("this proxy has no domain whose names are tenants (listen.domain)")
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{tenant}.{domain}{port}"


def prefix(target: bytes) -> str:
    """What a target's path has before the tenant's own path: "/t/<id>", or ""."""
    return PREFIX.decode() + _of_path(target)[0] if target.startswith(PREFIX) else ""


def split(target: bytes, host: str, domain: str) -> tuple[str, bytes]:
    """The tenant that is named, "" where none is, and the target as that tenant's cluster knows it.

    `host` is the Host header, `domain` the domain whose names are tenants, "" for none. A name that is no tenant's id
    is given back as it stands: it is refused where unknown tenants are. Raises ApiError 400 where two are named.
    """
    named = _of_host(host, domain) if domain else ""
    if not target.startswith(PREFIX):
        return named, target
    tenant, rest = _of_path(target)
    if named and named != tenant:
        raise bad_request("the path and the host name say two different clusters")
    return tenant, rest


def _of_path(target: bytes) -> tuple[str, bytes]:
    path, mark, query = target[len(PREFIX) :].partition(b"?")
    tenant, _, rest = path.partition(b"/")
    return tenant.decode("latin-1") or "/", b"/" + rest + mark + query


def _of_host(host: str, domain: str) -> str:
    name = host.lower().partition(":")[0].rstrip(".")
    return name[: -len(domain) - 1] if name.endswith("." + domain) else ""
