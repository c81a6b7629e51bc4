"""Sorts of values: each takes what YAML gave and returns the typed value, or raises ValueError: what it should be."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_duration = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration(value: Any) -> float:
    """Seconds of `30s`, `12h`, `1h30m`."""
    text = str(value)
    found = _duration.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError("is a duration such as 30s, 12h or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in found)
    if seconds <= 0:
        raise ValueError("is a duration longer than nothing")
    return seconds


def count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("is a whole number above 0")
    return value


def address(value: Any) -> tuple[str, int]:
    """Host and port of `0.0.0.0:8443` or `[::]:8443`."""
    host, colon, port = str(value).rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) < 65536 or not host:
        raise ValueError("is an address with a port, such as 0.0.0.0:8443")
    return host.strip("[]"), int(port)


def advertised(value: Any) -> tuple[str, int] | None:
    """An address that pods can reach: the host refuses loopback and link-local ones in EndpointSlices."""
    if value is None:
        return None
    host, port = address(value)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("is an IP address with a port, such as 192.0.2.10:8443") from None
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        raise ValueError("is an address that pods can reach: not loopback, link-local, unspecified or multicast")
    return str(ip), port


def file(value: Any) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise ValueError("is the path of a file")
    return Path(value)


def names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError("is a list of DNS names and IP addresses")
    return tuple(value)


def texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError("is a list of texts")
    return tuple(value)


def url(value: Any) -> str:
    text = str(value).rstrip("/")
    if not re.fullmatch(r"https://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?", text):
        raise ValueError("is an https URL of a host and a port, such as https://clusters.example.com:8443")
    return text


def endpoint(value: Any) -> str:
    """The https address of a service that is asked, with its path."""
    if value is None:
        return ""
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme != "https" or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("is an https URL without user and fragment, such as https://login.example.com/review")
    return str(value)


def domain(value: Any) -> str:
    text = "" if value is None else str(value).lower().strip(".")
    if text and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", text):
        raise ValueError("is a DNS name, such as clusters.example.com")
    return text


def optional_url(value: Any) -> str | None:
    return None if value is None else url(value)


def service(value: Any) -> tuple[str, str, int] | None:
    """Namespace, name and port of `vcproxy-system/vcproxy-webhook:443`."""
    if value is None:
        return None
    found = re.fullmatch(r"([a-z0-9-]{1,63})/([a-z0-9-]{1,63}):(\d{1,5})", str(value))
    if not found or not 0 < int(found[3]) < 65536:
        raise ValueError("is a Service with a port, such as vcproxy-system/vcproxy-webhook:443")
    return found[1], found[2], int(found[3])


def ip(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError("is an IP address, such as 10.96.0.10") from None


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"is one of {', '.join(choices)}")
        return str(value)

    return read


def some_of(*choices: str) -> Callable[[Any], tuple[str, ...]]:
    """An order of some of these, each once."""

    def read(value: Any) -> tuple[str, ...]:
        known = isinstance(value, list) and value and all(one in choices for one in value)
        if not known or len(set(value)) != len(value):
            raise ValueError(f"is a list of {', '.join(choices)}: of at least one of them, each once")
        return tuple(value)

    return read
