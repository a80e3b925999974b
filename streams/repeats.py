"""Hold back log lines that only repeat: aiokafka writes a hundred a second in an outage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

#: Loggers of aiokafka that write once per attempt, and attempts don't back off.
OUTAGE_LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)


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
        self._passed_at: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = (record.name, str(record.msg))
        now = self._clock()
        before = self._passed_at.get(message)
        if before is not None and now - before < self._period_s:
            self._held[message] = self._held.get(message, 0) + 1
            return False
        self._passed_at[message] = now
        held = self._held.pop(message, 0)
        if held:
            record.msg = f"{record.getMessage()} ({held} more since the last one)"
            record.args = ()
        return True


def limit_repeats(period_s: float = 10.0) -> None:
    """Apply it to aiokafka's loggers; once, where logging is set up."""
    repeats = Repeats(period_s)
    for name in OUTAGE_LOGGERS:
        logging.getLogger(name).addFilter(repeats)
