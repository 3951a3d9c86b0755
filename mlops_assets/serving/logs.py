"""The service's log: one JSON object a line, to standard output.

Put here the form of a line and where it goes. Keep out what is logged.
"""

from __future__ import annotations

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

FIELDS: Final = "fields"
"""Name of the ``extra`` whose members become members of the line."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, then the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _text(line)


def _text(line: dict[str, Any]) -> str:
    """The line as JSON in ASCII: standard output may not know more, and a file name may hold what UTF-8 does not."""
    try:
        # Most lines are the audit trail's: this takes a tenth of the standard library's time.
        text = msgspec.json.encode(line, enc_hook=str).decode()
    except (TypeError, ValueError):
        text = ""
    return text if text and text.isascii() else json.dumps(line, default=str)


def configure_logs() -> None:
    """Send every log record of the process to standard output as a JSON line."""
    # No line tells them, and finding them out takes a system call for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonLines}},
            "handlers": {
                "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
            },
            "root": {"handlers": ["stdout"], "level": "INFO"},
        }
    )
