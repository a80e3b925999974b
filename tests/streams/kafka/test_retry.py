"""What may pass is tried again for a bounded time; what can't pass isn't."""

from __future__ import annotations

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError

from schemas.errors import TransientError
from streams.kafka.retry import retried
from streams.monitoring.batch_counts import PartitionLag
from streams.monitoring.stalls import StallWatch


async def test_what_passes_is_tried_again() -> None:
    failures = [KafkaConnectionError("down"), OSError("unreachable")]

    async def attempt() -> str:
        if failures:
            raise failures.pop()
        return "there"

    assert await retried("reading", attempt, 5) == "there"


async def test_after_the_time_it_is_one_line() -> None:
    async def attempt() -> None:
        raise KafkaConnectionError("down")

    with pytest.raises(TransientError, match=r"reading still fails after 0 s: KafkaConn.*down"):
        await retried("reading", attempt, 0)


async def test_what_cannot_pass_is_raised_at_once() -> None:
    calls = []

    async def attempt() -> None:
        calls.append(1)
        raise GroupAuthorizationFailedError("hark")

    with pytest.raises(GroupAuthorizationFailedError):
        await retried("reading", attempt, 60)
    assert len(calls) == 1


def test_a_commit_that_moves_is_well_however_much_waits() -> None:
    watch = StallWatch(10, lambda: "")
    for second in range(60):
        watch.observe({0: PartitionLag(1_000 + second, 1.0, second)}, second)
        assert not watch.problem(second)


def test_a_backlog_that_nobody_adds_to_and_nobody_works_on_is_no_illness() -> None:
    watch = StallWatch(10, lambda: "")
    for second in range(60):
        watch.observe({0: PartitionLag(5, 1.0, 7)}, second)
    assert not watch.problem(59)
    watch.observe({0: PartitionLag(6, 1.0, 7)}, 60)
    assert "no batch arrives" in watch.problem(60)


def test_a_loop_that_does_not_answer_is_an_illness() -> None:
    watch = StallWatch(10, lambda: "")
    watch.observe({}, 0)
    assert "event loop" in watch.problem(11)
