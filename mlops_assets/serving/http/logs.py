"""The service's log: one JSON object a line, to standard output.

Put here the form of a line and where it goes. Keep out what is logged.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import logging.config
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS: Final = "fields"
"""Name of the ``extra`` whose members become members of the line."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, then the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = _line(record.created, record.levelname.lower(), record.name, record.getMessage())
        line.update(getattr(record, FIELDS, {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _text(line).decode("ascii")


class JsonOutput(logging.StreamHandler[TextIO]):
    """Writes lines to a stream, each whole and at once."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(JsonLines())

    def put(self, text: bytes) -> None:
        """Write a line that is formatted already."""
        self.acquire()
        try:
            # Below the text's own layer, which holds nothing: every line is flushed.
            self.stream.buffer.write(text + b"\n")
            self.stream.buffer.flush()
        finally:
            self.release()


def write_line(logger: logging.Logger, message: str, fields: Mapping[str, Any]) -> None:
    """Write what ``logger.info`` would write, before this returns.

    One such line is written for each request. Going through the library takes nearly twice as long: it makes a record,
    finds out who calls, and asks every logger above.
    """
    for handler in logging.root.handlers:
        if isinstance(handler, JsonOutput):
            line = _line(time.time(), "info", logger.name, message)
            line.update(fields)
            # Where the stream takes nothing, the library says so and the request goes on.
            with contextlib.suppress(OSError, ValueError):
                handler.put(_text(line))
                return
    logger.info(message, extra={FIELDS: dict(fields)})


def _line(created: float, level: str, logger: str, message: str) -> dict[str, Any]:
    second = int(created)
    moment = f"{_second(second)}.{int((created - second) * 1000):03d}+00:00"
    return {"time": moment, "level": level, "logger": logger, "message": message}


@functools.lru_cache(maxsize=2)
def _second(second: int) -> str:
    """That second of UTC in ISO 8601; many lines are of the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _text(line: dict[str, Any]) -> bytes:
    """The line as JSON in ASCII: standard output may not know more, and a file name may hold what UTF-8 does not."""
    try:
        # Most lines are the audit trail's: this takes a tenth of the standard library's time.
        text = msgspec.json.encode(line, enc_hook=str)
    except (TypeError, ValueError):
        text = b""
    return text if text and text.isascii() else json.dumps(line, default=str).encode("ascii")


def configure_logs() -> None:
    """Send every log record of the process to standard output as a JSON line."""
    # No line tells them, and finding them out takes a system call for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stdout": {"()": JsonOutput, "stream": "ext://sys.stdout"}},
            "root": {"handlers": ["stdout"], "level": "INFO"},
        }
    )
