"""Columns of Tables that the proxy prints itself, and the cells that most kinds have."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

Object = dict[str, Any]


class Column(msgspec.Struct, frozen=True):
    """A column: `cell` makes its value of an object and the time now, in seconds since the epoch."""

    name: str
    cell: Callable[[Object, float], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Object:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def metadata(document: Object) -> Object:
    found = document.get("metadata")
    return found if isinstance(found, dict) else {}


def name(document: Object, now: float) -> str:
    return str(metadata(document).get("name", ""))


def age(document: Object, now: float) -> str:
    made = metadata(document).get("creationTimestamp")
    try:
        return duration(now - datetime.fromisoformat(str(made).replace("Z", "+00:00")).timestamp())
    except ValueError:
        return "<unknown>"


def duration(seconds: float) -> str:
    """An age as kubectl shows it (k8s.io/apimachinery/pkg/util/duration.HumanDuration)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    steps = (
        (whole < 120, f"{whole}s", ""),
        (minutes < 10, f"{minutes}m", _rest(whole % 60, "s")),
        (minutes < 180, f"{minutes}m", ""),
        (hours < 8, f"{hours}h", _rest(minutes % 60, "m")),
        (hours < 48, f"{hours}h", ""),
        (hours < 192, f"{days}d", _rest(hours % 24, "h")),
        (hours < 17520, f"{days}d", ""),
        (hours < 70080, f"{days // 365}y", _rest(days % 365, "d")),
        (True, f"{days // 365}y", ""),
    )
    return next(text + rest for fits, text, rest in steps if fits)


def _rest(count: int, unit: str) -> str:
    return f"{count}{unit}" if count else ""


NAME: Final = Column("Name", name, format="name", description="Name must be unique within a namespace.")
AGE: Final = Column("Age", age, description="How long ago this object was created.")
