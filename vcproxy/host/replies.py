"""Replies made of documents: encoded as the client accepts it, compressed where that pays."""

import asyncio
import zlib
from typing import Any, Final

import msgspec

from vcproxy.core import bodies
from vcproxy.core.fields_texts import text_down
from vcproxy.core.hosting import HostResponse
from vcproxy.core.http import Call, Headers, Reply
from vcproxy.core.media import Codec
from vcproxy.core.scope import Scope
from vcproxy.host.answers import HostRefusal

GZIP_FROM: Final = 128 * 1024
"""Bytes from which a body is compressed: the API server's own bound (defaultGzipThresholdBytes)."""
GZIP_LEVEL: Final = 1
IN_THREAD: Final = 1024 * 1024
"""Bytes of work from which a thread does it: the loop serves others meanwhile."""

STREAMED: Final = (("Content-Type", "application/json"), ("Cache-Control", "no-cache, private"))
"""The head of a watch."""

_CONTENT_TYPE: Final = {Codec.JSON: "application/json", Codec.YAML: "application/yaml"}


def warnings(response: HostResponse, scope: Scope) -> Headers:
    """The host's warnings (RFC 7234 5.5), in the tenant's words."""
    return tuple(("Warning", text_down(value, scope)) for value in response.getall("Warning"))


async def of_document(
    document: dict[str, Any], codec: Codec, call: Call, *, code: int = 200, headers: Headers = ()
) -> Reply:
    """A whole body; parts of the document may be JSON already (msgspec.Raw)."""
    return await of_json(bodies.encode_json(document), codec, call, code=code, headers=headers)


async def of_json(raw: bytes, codec: Codec, call: Call, *, code: int = 200, headers: Headers = ()) -> Reply:
    """A whole body that is JSON already."""
    if codec is not Codec.JSON:
        raw = await asyncio.to_thread(_yaml, raw)
    return await of_bytes(raw, _CONTENT_TYPE[codec], call, code=code, headers=headers)


def _yaml(raw: bytes) -> bytes:
    return bodies.encode_yaml(msgspec.json.decode(raw))


async def of_bytes(raw: bytes, content_type: str, call: Call, *, code: int = 200, headers: Headers = ()) -> Reply:
    """A whole body that is encoded already."""
    head = (("Content-Type", content_type), ("Cache-Control", "no-cache, private"), *headers)
    if len(raw) < GZIP_FROM or not accepts_gzip(call):
        return Reply(code, head, raw)
    packed = await asyncio.to_thread(_gzip, raw) if len(raw) > IN_THREAD else _gzip(raw)
    return Reply(code, (*head, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")), packed)


def accepts_gzip(call: Call) -> bool:
    clauses = [part.strip().lower() for value in call.getall("Accept-Encoding") for part in value.split(",")]
    return any(clause.partition(";")[0].strip() == "gzip" and not clause.endswith("q=0") for clause in clauses)


def _gzip(raw: bytes) -> bytes:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(raw) + packer.flush()


async def of_refusal(refusal: HostRefusal, call: Call, headers: Headers = ()) -> Reply:
    """The host's refusal, translated already; clients wait as long as the host says (RFC 9110 10.2.3)."""
    details = refusal.body.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    if isinstance(seconds, int):
        headers = (*headers, ("Retry-After", str(seconds)))
    return await of_document(refusal.body, Codec.JSON, call, code=refusal.status.code, headers=headers)
