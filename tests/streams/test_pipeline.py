"""What waits for the scorer: which batches are scored together, and in which order."""

from __future__ import annotations

from collections import deque
from typing import Any

from streams.partition import PartitionState
from streams.pipeline import take
from streams.transport.consumer import Delivery
from streams.transport.record_batch import RecordBatch

VALUE = b"x" * 900  # a record is 1,000 bytes, about


class Waiting:
    """Deliveries of partitions, as they arrive."""

    def __init__(self, *arrivals: tuple[int, int]) -> None:
        """Of each arrival the partition and its number of records."""
        ends: dict[int, int] = {}
        states: Any = {}
        self.queue: deque[tuple[PartitionState, Delivery]] = deque()
        for partition, records in arrivals:
            begin = ends.get(partition, 0)
            ends[partition] = begin + records
            state = states.setdefault(partition, object())
            ticket: Any = None
            consumer: Any = None
            self.queue.append((state, Delivery(batch(partition, begin, records), ticket, consumer)))

    def take(self, nbytes: int) -> list[tuple[int, list[int], int]]:
        """Partition, offsets and number of deliveries of each work."""
        return [
            (work.batch.partition, list(work.batch.offsets), len(work.deliveries))
            for work in take(self.queue, nbytes)
        ]


def batch(partition: int, begin: int, records: int) -> RecordBatch:
    offsets = list(range(begin, begin + records))
    return RecordBatch(
        "events", partition, begin, begin + records - 1, offsets, [0] * records,
        [b"ann"] * records, [VALUE] * records, [()] * records,
    )  # fmt: skip


def test_all_that_waits_is_one_batch_per_partition() -> None:
    waiting = Waiting((0, 2), (1, 1), (0, 3), (2, 1), (1, 2))
    assert waiting.take(1_000_000) == [
        (0, [0, 1, 2, 3, 4], 2),
        (1, [0, 1, 2], 2),
        (2, [0], 1),
    ]
    assert waiting.take(1_000_000) == []


def test_more_than_the_bound_waits_for_the_next_turn_in_order() -> None:
    waiting = Waiting((0, 2), (1, 2), (0, 2), (1, 2))
    assert waiting.take(3_500) == [(0, [0, 1], 1), (1, [0, 1], 1)]
    assert waiting.take(3_500) == [(0, [2, 3], 1), (1, [2, 3], 1)]


def test_a_batch_larger_than_the_bound_goes_alone() -> None:
    waiting = Waiting((0, 9), (1, 1))
    assert waiting.take(1_000) == [(0, list(range(9)), 1)]
    assert waiting.take(1_000) == [(1, [0], 1)]
