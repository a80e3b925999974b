"""Logging: structlog over the standard library, JSON when nobody is watching a terminal."""

from __future__ import annotations

import logging
import sys

import structlog

from schemas.errors import HarkError
from streams.monitoring.repeats import limit_repeats


def _noteworthy(record: logging.LogRecord) -> bool:
    """Not what Faust's services say of their own starting and stopping."""
    return record.levelno >= logging.WARNING or not str(record.msg).startswith("[^")


def _in_words(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """What we raise on purpose is told by its text, without a traceback."""
    found = event.get("exc_info")
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, HarkError):
        del event["exc_info"]
        event["error"] = str(error)
    return event


def configure(level: str = "INFO") -> None:
    """Send our logs and those of the libraries to stderr, one line each."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _in_words,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("aiokafka", "faust", "mode", "asyncio", "kafka"):
        logging.getLogger(name).setLevel("WARNING")
    handler.addFilter(_noteworthy)
    limit_repeats()
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
