"""Names that custom resources may not have, written as ones that they may: injective and reversible.

Names of roles are path segments (k8s.io/apimachinery/pkg/api/validation/path: anything but `.`, `..`, `/` and `%`),
those of custom resources DNS subdomains (RFC 1123). A character that cannot stand where it stands becomes `x--` and two
hex digits for each byte of its UTF-8; a hyphen or dot stays only between two letters or digits, so `--` is never
anything but an escape.
"""

import re
from typing import Final

LIMIT: Final = 253
"""Characters of the name of a custom resource."""

_plain = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*\Z")
_kept = re.compile(r"[a-z0-9]|(?<=[a-z0-9])[-.](?=[a-z0-9])")
_escaped = re.compile(r"(?:x--[0-9a-f]{2})+")


def escape(name: str) -> str:
    """The name on the host; it may be longer than `LIMIT`, which the caller refuses."""
    if _plain.match(name):
        return name
    return "".join(name[at] if _kept.match(name, at) else _code(name[at]) for at in range(len(name)))


def _code(sign: str) -> str:
    return "".join(f"x--{byte:02x}" for byte in sign.encode())


def unescape(name: str) -> str:
    """The name that was escaped; a text that `escape` never makes comes back as it is."""
    return _escaped.sub(_decode, name) if "x--" in name else name


def _decode(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match[0].replace("x--", "")).decode()
    except UnicodeDecodeError:
        return match[0]
