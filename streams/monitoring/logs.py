"""Logging: structlog over the standard library; JSON unless stderr is a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from schemas.errors import HarkError

OUTAGE_LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)
"""Loggers of aiokafka that write a line per attempt, although attempts don't back off."""
MOST_MESSAGES = 1_000
"""Most messages remembered; beyond that, the message that passed longest ago is forgotten."""


@dataclass(slots=True)
class _Passed:
    """When a message last passed, and how often it was held back since."""

    at: float
    held: int = 0


class Repeats(logging.Filter):
    """Lets each message through once per period, with the number of messages held back.

    Parameters
    ----------
    period_s
        Seconds in which a message (its text before arguments are filled in) passes once.
    clock
        Returns monotonic time in seconds.
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
    """Add a `Repeats` filter to aiokafka's loggers; to be called once, at start."""
    repeats = Repeats(period_s)
    for name in OUTAGE_LOGGERS:
        logging.getLogger(name).addFilter(repeats)


def _noteworthy(record: logging.LogRecord) -> bool:
    """Whether a record isn't just a Faust service's line about its start or stop."""
    return record.levelno >= logging.WARNING or not str(record.msg).startswith("[^")


def _in_words(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Show a `HarkError` by its text, without a traceback."""
    found = event.get("exc_info")
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, HarkError):
        del event["exc_info"]
        event["error"] = str(error)
    return event


def configure(level: str = "INFO") -> None:
    """Send the logs of Hark and of its libraries to stderr, one line per event."""
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
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
