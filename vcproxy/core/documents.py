"""Documents that the proxy answers by itself, and the paths at which they stand."""

from enum import Enum
from typing import Final


class Document(Enum):
    """What the proxy answers by itself."""

    DISCOVERY = "discovery"
    OPENAPI = "openapi"
    VERSION = "version"
    HEALTH = "health"
    PATHS = "paths"
    REVIEW = "review"
    ISSUER = "issuer"
    ISSUER_KEYS = "issuer-keys"


_HEALTH: Final = ("/healthz", "/livez", "/readyz")
ISSUER_PATHS: Final = {
    "/.well-known/openid-configuration": Document.ISSUER,
    "/openid/v1/jwks": Document.ISSUER_KEYS,
}
"""Where an API server tells of the issuer of ServiceAccount tokens (KEP-1393)."""


def document_of(path: str) -> Document | None:
    """What stands at a path that is no resource's, or None."""
    if path in ("/api", "/apis") or (path.startswith(("/api/", "/apis/")) and path.count("/") <= 3):
        return Document.DISCOVERY
    if path in ("/openapi/v2", "/openapi/v3") or path.startswith("/openapi/v3/"):
        return Document.OPENAPI
    if path == "/version":
        return Document.VERSION
    if path.startswith(_HEALTH) and path.rstrip("/").split("/")[1] in [at[1:] for at in _HEALTH]:
        return Document.HEALTH
    return Document.PATHS if path == "/" else ISSUER_PATHS.get(path)
