"""Queries of the host watches that one client's watch is made of."""

from vcproxy.core.parameters import Pairs
from vcproxy.core.versions import version_of


def start_of(query: Pairs) -> int:
    """The version that a watch begins after; 0 where it begins with what is there."""
    pairs = dict(query)
    return version_of(pairs.get("resourceVersion")) if "sendInitialEvents" not in pairs else 0


def life_of(query: Pairs) -> int:
    """How many seconds the client wants it to last; 0 where it does not say."""
    asked = dict(query).get("timeoutSeconds", "")
    return int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0


def lasting(query: Pairs, life: int) -> Pairs:
    """The query of a part. Bookmarks are always asked for: they carry how far each part has come."""
    rest = tuple(pair for pair in query if pair[0] not in ("allowWatchBookmarks", "timeoutSeconds"))
    return (*rest, ("timeoutSeconds", str(life)), ("allowWatchBookmarks", "true"))
