"""Media types: what a body is, and which answer a client accepts (RFC 9110 12.5.1, as the API server reads it).

https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

from vcproxy.core.patches import PatchType
from vcproxy.core.status import not_acceptable, unsupported_media_type

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
PRODUCED: Final = (JSON, YAML)
_VIEWS: Final = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


class Codec(Enum):
    """How a body is written."""

    JSON = JSON
    YAML = YAML
    PROTOBUF = PROTOBUF


class Accepted(msgspec.Struct, frozen=True):
    """What a client gets: the codec, and the Accept header for the host that yields the right representation."""

    codec: Codec
    host_accept: str


class Clause(msgspec.Struct, frozen=True):
    """One clause of an Accept header: its media type in lower case, its parameters, its quality (0 to 1)."""

    media: str
    parameters: dict[str, str]
    quality: float = 1.0


def clauses(header: str) -> list[Clause]:
    """The clauses of an Accept header, best first; those of equal quality in their order."""
    found = [_clause(part) for part in header.split(",") if part.strip()]
    return sorted((clause for clause in found if clause.quality > 0), key=lambda clause: -clause.quality)


def _clause(text: str) -> Clause:
    media, *parameters = (part.strip() for part in text.split(";"))
    pairs = {key.strip().lower(): value.strip().strip('"') for key, _, value in (p.partition("=") for p in parameters)}
    try:
        quality = float(pairs.pop("q", "1"))
    except ValueError:
        quality = 0.0
    return Clause(media.lower(), pairs, quality)


@lru_cache(maxsize=256)
def accept(header: str | None) -> Accepted:
    """The answer for an Accept header; none means JSON. Raises ApiError 406 when nothing of it can be produced."""
    usable = [clause for clause in clauses(header or JSON) if _usable(clause)]
    if not usable:
        raise not_acceptable(", ".join(PRODUCED))
    codec = Codec.YAML if usable[0].media == YAML else Codec.JSON
    wanted = [_for_host(clause) for clause in usable if (clause.media == YAML) == (codec is Codec.YAML)]
    return Accepted(codec, ",".join(dict.fromkeys(wanted)))


def _usable(clause: Clause) -> bool:
    view = clause.parameters.get("as")
    if view is not None and (view not in _VIEWS or clause.parameters.get("v", "v1") not in ("v1", "v1beta1")):
        return False
    return clause.media in (JSON, YAML, "*/*", "application/*")


def _for_host(clause: Clause) -> str:
    """The clause as the host gets it, always JSON; a watch needs no parameter of its own."""
    view = clause.parameters.get("as")
    if view is None:
        return JSON
    return f"{JSON};as={view};v={clause.parameters.get('v', 'v1')};g=meta.k8s.io"


def body_codec(content_type: str | None) -> Codec:
    """How the body of a POST or PUT is written; JSON if nothing is said, as on the API server. Raises ApiError 415."""
    media = (content_type or JSON).partition(";")[0].strip().lower()
    try:
        return Codec(media)
    except ValueError:
        raise _unsupported(media, [codec.value for codec in Codec]) from None


def patch_type(content_type: str | None) -> PatchType:
    """The type of a patch; it must be said. Raises ApiError 415."""
    media = (content_type or "").partition(";")[0].strip().lower()
    try:
        return PatchType(media)
    except ValueError:
        raise _unsupported(media, [kind.value for kind in PatchType]) from None


def _unsupported(media: str, offered: list[str]) -> Exception:
    del media  # nothing of what the client sent is echoed
    return unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(offered)}"
    )
