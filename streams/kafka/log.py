"""Reads a log outside any consumer group, to restore state and to feed the catalogue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

Record: TypeAlias = "ConsumerRecord[Any, Any]"


def groupless_consumer(client: dict[str, Any], **options: Any) -> AIOKafkaConsumer:
    """A consumer that joins no group, commits nothing, and reads committed records only."""
    return AIOKafkaConsumer(
        **client,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **options,
    )


async def read_range(
    consumer: AIOKafkaConsumer, partition: TopicPartition, end: int, *, max_records: int = 4000
) -> AsyncIterator[list[Record]]:
    """Yield records of a partition, from the consumer's position up to offset `end` (exclusive).

    Parameters
    ----------
    consumer
        Has `partition` assigned and its position set.
    end
        Position at which to stop; gaps (compaction, transactions) count as read. If the log ends
        earlier, because it was truncated or recreated, reading stops at its end.
    max_records
        Most records per yielded list.
    """
    end = min(end, (await consumer.end_offsets([partition]))[partition])
    while await consumer.position(partition) < end:
        fetched = await consumer.getmany(partition, timeout_ms=500, max_records=max_records)
        records = [record for record in fetched.get(partition, []) if record.offset < end]
        if records:
            yield records


async def read_from(
    client: dict[str, Any], partition: TopicPartition, begin: int
) -> AsyncIterator[list[Record]]:
    """Yield records of a partition, from offset `begin` to the log's present end.

    Reading begins at the log's first offset if the log no longer reaches back to `begin`, or ends
    before `begin` because it was recreated.
    """
    consumer = groupless_consumer(client)
    try:
        await consumer.start()
        consumer.assign([partition])
        first = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, begin if first <= begin <= end else first)
        async for records in read_range(consumer, partition, end):
            yield records
    finally:
        await consumer.stop()
