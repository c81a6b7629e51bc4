"""Logs: to stderr, as text for people or as JSON for machines. No body, header or token is ever given to a logger."""

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Final, TextIO

import msgspec

REQUESTS: Final = "vcproxy.requests"
HOLD: Final = 0.25
"""Seconds for which a line may wait for others."""
BLOCK: Final = 32768
"""Characters that are written at once."""

_encoder = msgspec.json.Encoder()

_EXTRAS: Final = ("request_id", "tenant", "user", "plan", "seconds")


class TextFormatter(logging.Formatter):
    """`2026-01-02T03:04:05Z INFO vcproxy.app.proxy message key=value`."""

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


class Lines:
    """A text stream that writes in blocks: after `HOLD` seconds, from `BLOCK` characters on, or when it is flushed.

    A system call for each request would cost more than the line itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, line: str) -> None:
        """Take a line with its end. Outside of a running loop it is written at once."""
        self._held.append(line)
        self._size += len(line)
        if self._size >= BLOCK:
            self.flush()
        elif self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(HOLD, self.flush)
            except RuntimeError:
                self.flush()

    def write(self, text: str) -> None:
        """What a logging handler calls; it flushes after each record, so that the order of all lines stays."""
        self._held.append(text)

    def flush(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        held, self._held, self._size = self._held, [], 0
        with contextlib.suppress(OSError, ValueError):  # a log that nobody takes must not stop the proxy
            self._stream.write("".join(held))
            self._stream.flush()


class RequestLog:
    """Writes one line for each request, in the form that all logs have."""

    def __init__(self, lines: Lines, form: str) -> None:
        self._lines = lines
        self._json = form == "json"
        self._second = -1
        self._moment = ""

    def put(self, now: float, message: str, fields: Mapping[str, object]) -> None:
        """A line of level info. `now` is in seconds since the epoch; empty fields are left out."""
        if int(now) != self._second:
            self._second = int(now)
            self._moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        if self._json:
            entry = {"time": self._moment, "level": "info", "logger": REQUESTS, "message": message, **fields}
            self._lines.put(f"{_encoder.encode(entry).decode()}\n")
        else:
            extras = "".join([f" {key}={_plain(value)}" for key, value in fields.items() if value != ""])
            self._lines.put(f"{self._moment} INFO {REQUESTS} {message}{extras}\n")


def configure(form: str, level: str) -> RequestLog | None:
    """Send all logs to stderr. `form` is text or json, `level` one of debug, info, warning, error.

    The log of requests, or None where the level leaves it out.
    """
    lines = Lines(sys.stderr)
    handler: logging.StreamHandler[Lines] = logging.StreamHandler(lines)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return RequestLog(lines, form) if root.isEnabledFor(logging.INFO) else None


def _plain(value: object) -> str:
    """A value in a line of text; what could be taken for the end of the value is written as JSON."""
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key in _EXTRAS if (value := getattr(record, key, "")) != ""}


def _moment(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
