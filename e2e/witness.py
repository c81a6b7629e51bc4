"""The host's audit log as witness: which requests of the proxy arrived between two marks, and as whom."""

import json
import secrets
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from e2e.cluster.control_plane import ControlPlane

PROXY: Final = "system:serviceaccount:vcproxy-system:vcproxy"
DEADLINE: Final = 10.0
"""Seconds in which the log must hold what was asked last."""


class Arrived(NamedTuple):
    """One request as the host saw it. `user` is who authenticated, `acted_as` whom it impersonated."""

    verb: str
    uri: str
    user: str
    acted_as: str
    groups: tuple[str, ...]
    agent: str
    code: int
    line: str

    def __str__(self) -> str:
        return f"{self.verb} {self.uri} as {self.acted_as or self.user} -> {self.code}"


class AuditLog:
    """Reads the log of a host that is in our hands."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._log: Path = control_plane.audit_log

    def mark(self) -> int:
        """Now, as a place in the log; the host may be in the middle of a line."""
        return self._log.stat().st_size

    def since(self, mark: int) -> list[Arrived]:
        """Everything that arrived since, in order. Raises TimeoutError where the log does not catch up."""
        return [arrived(one) for one in self.entries(mark)]

    def entries(self, mark: int) -> list[dict[str, Any]]:
        """What was written since, in order (audit.k8s.io/v1 Event). Raises TimeoutError where the log is late.

        A question of our own is asked and waited for: the log is in order, so what came before it is there as well.
        """
        fence = f"/version?fence={secrets.token_hex(8)}"
        self._control_plane.get(fence)
        end = time.monotonic() + DEADLINE
        while True:
            lines = whole_lines(self._log, mark)
            if any(fence.encode() in line for line in lines):
                return [json.loads(line) for line in lines]
            if time.monotonic() > end:
                raise TimeoutError("the audit log does not tell of what the host was just asked")
            time.sleep(0.02)


def whole_lines(path: Path, mark: int) -> list[bytes]:
    """The lines that began at or after a place in a file and are whole by now.

    A long line becomes visible page by page, so its end may be missing when it is read, and a mark may stand within it.
    """
    with path.open("rb") as file:
        file.seek(max(mark - 1, 0))
        raw = file.read()
    if mark:
        _, _, raw = raw.partition(b"\n")
    return raw.split(b"\n")[:-1]


def arrived(entry: dict[str, Any]) -> Arrived:
    """An entry of the log (audit.k8s.io/v1 Event)."""
    who = entry.get("impersonatedUser") or {}
    return Arrived(
        entry["verb"],
        entry["requestURI"],
        (entry.get("user") or {}).get("username", ""),
        who.get("username", ""),
        tuple(who.get("groups") or ()),
        entry.get("userAgent", ""),
        (entry.get("responseStatus") or {}).get("code", 0),
        json.dumps(entry),
    )
