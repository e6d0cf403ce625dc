"""What a program says of itself goes to standard error, one line each."""

from __future__ import annotations

import logging
import sys

import structlog


def to_stderr() -> None:
    """Log there from now on, as logfmt; libraries too, from warnings on.

    Each line is one write: printed as text and line end, a line of standard output can come between them, and whoever
    waits for "ready" at the beginning of a line waits in vain.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
