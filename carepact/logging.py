"""Log lines of a command: on standard error, so that standard output stays for its data."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog


def to_stderr() -> None:
    """Readable lines on a terminal, one JSON object a line elsewhere; times in UTC.

    A line is written whole, its end with it, so that a process killed in between leaves no half for the next to join.
    """
    shape: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shape,
        ],
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Forgiving(sys.stderr))),
    )


class _Forgiving:
    """Standard error that may be closed, or its reader gone: that is no reason to leave off what is being logged."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()
