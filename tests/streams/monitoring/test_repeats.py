"""A log line that repeats is held back, and the count of what was held is told."""

from __future__ import annotations

import logging

from streams.monitoring.logs import MOST_MESSAGES, Repeats


def test_a_message_passes_once_per_period_and_says_how_many_were_held_back():
    now, texts = 0.0, []
    repeats = Repeats(10.0, clock=lambda: now)

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    logger = logging.Logger("outage")
    logger.addFilter(repeats)
    logger.addHandler(Collect())
    for _ in range(100):
        logger.error("no node %s", 1)
        now += 0.1  # the last at 9.9 s
    logger.error("another message")
    now = 10.0
    logger.error("no node %s", 2)
    logger.error("no node %s", 3)
    assert texts == ["no node 1", "another message", "no node 2 (99 more since the last one)"]


def test_messages_that_never_repeat_are_forgotten():
    repeats = Repeats(10.0, clock=lambda: 0.0)
    for number in range(3 * MOST_MESSAGES):
        record = logging.makeLogRecord({"name": "aiokafka", "msg": f"no node {number}"})
        assert repeats.filter(record)
    assert len(repeats._passed) == MOST_MESSAGES
