"""The host's own log of changes: what its store (etcd) remembers, whatever became of the API server meanwhile."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

from e2e.cluster.control_plane import ControlPlane

DEADLINE: Final = 20.0
Change = tuple[str, int]
"""(add, update or delete; resourceVersion): a version belongs to one change of one object."""


def history(plane: ControlPlane, prefix: str, since: int, until: int) -> list[Change]:
    """The changes below a prefix of keys after the version `since`, up to `until`, which must be one of them.

    Raises OSError where etcd does not tell of that one in time (etcd's JSON gateway: /v3/watch).
    """
    found = list[Change]()
    for event in _events(plane, prefix, since + 1):
        found.append((_word(event), int(event["kv"]["mod_revision"])))
        if found[-1][1] >= until:
            break
    return found


def _events(plane: ControlPlane, prefix: str, start: int) -> Iterator[dict[str, Any]]:
    ends = {"key": _encoded(prefix), "range_end": _encoded(prefix[:-1] + chr(ord(prefix[-1]) + 1))}
    asked = json.dumps({"create_request": {**ends, "start_revision": start}}).encode()
    with urllib.request.urlopen(f"{plane.store_url}/v3/watch", asked, timeout=DEADLINE) as answer:
        for line in answer:
            yield from json.loads(line)["result"].get("events", ())


def _word(event: dict[str, Any]) -> str:
    if event.get("type") == "DELETE":
        return "delete"
    return "add" if int(event["kv"]["version"]) == 1 else "update"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
