"""Does anything that a tenant received name the host's side: its prefix, its host user, another tenant."""

import base64
import contextlib
import gzip
import re
from collections.abc import Iterable, Iterator

_base64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")


def layers(raw: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes, and what they hold after gunzip, base64 and JSON unescaping, some layers deep."""
    yield raw
    if not depth:
        return
    if raw[:2] == b"\x1f\x8b":
        with contextlib.suppress(OSError, EOFError):  # bytes that only begin like gzip
            yield from layers(gzip.decompress(raw), depth - 1)
    if b"\\" in raw:
        yield from layers(raw.replace(b'\\"', b'"').replace(b"\\n", b"\n").replace(b"\\/", b"/"), depth - 1)
        yield re.sub(rb"\\u00([0-7][0-9a-fA-F])", lambda match: bytes([int(match[1], 16)]), raw)
    for match in _base64.finditer(raw):
        text = match[0].rstrip(b"=")
        for altchars in (b"+/", b"-_"):
            try:
                yield base64.b64decode(text + b"=" * (-len(text) % 4), altchars=altchars, validate=True)
            except ValueError:
                continue


def leaks(received: Iterable[bytes], needles: Iterable[str]) -> list[str]:
    """Excerpts of what holds one of `needles`, in any layer."""
    wanted = [needle.encode() for needle in needles]
    found = []
    for raw in received:
        for layer in layers(raw):
            for needle in wanted:
                at = layer.find(needle)
                if at >= 0:
                    found.append(layer[max(0, at - 80) : at + 80].decode("utf-8", "replace"))
    return found
