"""Hold back log lines that only repeat: aiokafka writes a hundred a second in an outage."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

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
