"""Reads a partition's checkpoint: first its head, then rows and parts in log order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.checkpoints.head import HEAD
from streams.checkpoints.writer import StateTopics
from streams.kafka.log import groupless_consumer, read_range

FETCH_BYTES = 8 << 20
BATCH_RECORDS = 8_000
_TAIL = 64  # records; more where aborted transactions lie on top

Apply: TypeAlias = "Callable[[Sequence[bytes], Sequence[bytes | None], int], Awaitable[None]]"
"""Called with keys, values, and the number of offsets passed to read them."""


@dataclass(frozen=True, slots=True)
class Found:
    """The checkpoint found in the state topics of a partition.

    Attributes
    ----------
    head
        The value of the newest complete checkpoint's head, None if there is none.
    rows_end, parts_end
        Present ends of the two topics' partitions: a new state begins there.
    """

    head: bytes | None
    rows_end: int
    parts_end: int


class CheckpointReader:
    """A group-less consumer of one partition of both state topics; use it in `async with`."""

    def __init__(self, client: dict[str, Any], topics: StateTopics, partition: int) -> None:
        self._rows, self._parts = topics.of(partition)
        self._consumer: AIOKafkaConsumer = groupless_consumer(
            client, max_partition_fetch_bytes=FETCH_BYTES
        )

    async def __aenter__(self) -> CheckpointReader:
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def find(self) -> Found:
        """Search for the newest head, backwards from the end of `counters`."""
        tps = [self._rows, self._parts]
        first = (await self._consumer.beginning_offsets(tps))[self._parts]
        ends = await self._consumer.end_offsets(tps)
        end = ends[self._parts]
        head, tail, begin = None, _TAIL, end
        while head is None and begin > first:
            begin, before = max(first, end - tail), begin
            tail *= 4
            self._only(self._parts, begin)
            async for records in read_range(self._consumer, self._parts, before):
                for record in records:
                    if record.key == HEAD:
                        head = record.value or b""
        return Found(head, ends[self._rows], end)

    async def read_parts(self, begin: int, end: int, apply: Apply) -> None:
        """Hand over `counters` from `begin` to `end`, in log order."""
        await self._read(self._parts, begin, end, apply)

    async def read_rows(self, begin: int, end: int, apply: Apply) -> None:
        """Hand over `user-state` from `begin` to `end`, in log order."""
        await self._read(self._rows, begin, end, apply)

    async def _read(self, tp: TopicPartition, begin: int, end: int, apply: Apply) -> None:
        self._only(tp, begin)
        async for records in read_range(self._consumer, tp, end, max_records=BATCH_RECORDS):
            passed, begin = records[-1].offset + 1 - begin, records[-1].offset + 1
            found = [record for record in records if record.key != HEAD]
            await apply(
                [record.key for record in found], [record.value for record in found], passed
            )

    def _only(self, tp: TopicPartition, begin: int) -> None:
        """Fetch only `tp`, from `begin` on, and not the other partition."""
        self._consumer.assign([tp])
        self._consumer.seek(tp, begin)
