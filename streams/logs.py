"""Logging: structlog over the standard library, JSON when nobody is watching a terminal."""

from __future__ import annotations

import logging
import sys
import time

import structlog

REPEAT_S = 10.0


class RepeatFilter(logging.Filter):
    """Lets one message template of one logger through every `REPEAT_S` seconds.

    A broker outage makes the Kafka client log some 1,000 lines a second. What Faust's services
    say of their own starting and stopping is left out below WARNING.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        if record.levelno < logging.WARNING and str(record.msg).startswith("[^"):
            return False
        if isinstance(record.msg, dict):  # ours, by structlog
            return True
        key = (record.name, str(record.msg))
        now = time.monotonic()
        if now - self._last.get(key, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = now
        return True


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
    handler.addFilter(RepeatFilter())
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
