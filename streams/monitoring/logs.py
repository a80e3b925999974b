"""Logging: structlog over the standard library, JSON when nobody is watching a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from schemas.errors import HarkError

#: Loggers of aiokafka that write once per attempt, and attempts don't back off.
OUTAGE_LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)
MOST_MESSAGES = 1_000
"""What is kept of; beyond it the message that passed longest ago passes again."""


@dataclass(slots=True)
class _Passed:
    """When a message passed, and how often it was held back since."""

    at: float
    held: int = 0


class Repeats(logging.Filter):
    """Lets each message through once per period, with the number held back since.

    Parameters
    ----------
    period_s
        Seconds in which a message (its text before arguments are filled in) passes once.
    clock
        Seconds, rising.
    """

    def __init__(self, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._period_s = period_s
        self._clock = clock
        self._passed: OrderedDict[tuple[str, str], _Passed] = OrderedDict()  # the latest last

    def filter(self, record: logging.LogRecord) -> bool:
        message = (record.name, str(record.msg))
        now = self._clock()
        before = self._passed.get(message)
        if before is not None and now - before.at < self._period_s:
            before.held += 1
            return False
        held = before.held if before is not None else 0
        self._passed[message] = _Passed(now)
        self._passed.move_to_end(message)
        while len(self._passed) > MOST_MESSAGES:
            self._passed.popitem(last=False)
        if held:
            record.msg = f"{record.getMessage()} ({held} more since the last one)"
            record.args = ()
        return True


def limit_repeats(period_s: float = 10.0) -> None:
    """Apply it to aiokafka's loggers; once, where logging is set up."""
    repeats = Repeats(period_s)
    for name in OUTAGE_LOGGERS:
        logging.getLogger(name).addFilter(repeats)


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
