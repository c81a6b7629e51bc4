"""Logs: to stderr, as text for people or as JSON for machines. No body, header or token is ever given to a logger."""

import json
import logging
import sys
import time
from typing import Final

_EXTRAS: Final = ("request_id", "tenant", "user", "plan", "seconds")


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05Z INFO vcproxy.app message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f" {key}={value}" for key, value in _extras(record).items())
        line = f"{_moment(record)} {record.levelname} {record.name} {record.getMessage()}{extras}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with keys time, level, logger, message and what the record brings along."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(form: str, level: str) -> None:
    """Send all logs to stderr. `form` is text or json, `level` one of debug, info, warning, error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key in _EXTRAS if (value := getattr(record, key, "")) != ""}


def _moment(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
