"""Restore: a partition's state is replayed from its own log, up to the committed offset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.outputs import Alert
from streams.batches import RecordBatch, fold
from streams.log import groupless_consumer, read_range

log = structlog.get_logger(__name__)
PROGRESS_EVERY = 200_000


async def committed_offsets(
    client: dict[str, Any], group: str, partitions: list[TopicPartition] | None = None
) -> dict[TopicPartition, int]:
    """Where `group` would go on reading, of all partitions or these; those without are left out."""
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group, partitions=partitions)
    finally:
        await admin.close()
    return {tp: at.offset for tp, at in found.items() if at is not None and at.offset >= 0}


async def replay(
    client: dict[str, Any],
    partition: TopicPartition,
    begin: int | None,
    end: int,
    apply: Callable[[RecordBatch], Awaitable[int]],
) -> int:
    """Apply the log of one partition from `begin` (None: its start) to `end`, without output.

    Parameters
    ----------
    apply
        Takes a record batch, returns how many events it applied.

    Returns
    -------
    int
        Events applied.
    """
    consumer = groupless_consumer(client, max_partition_fetch_bytes=4 << 20)
    await consumer.start()
    applied = told = 0
    try:
        consumer.assign([partition])
        if begin is None:
            await consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, begin)
        async for records in read_range(consumer, partition, end):
            applied += await apply(fold(partition.topic, partition.partition, records))
            if applied - told >= PROGRESS_EVERY:
                told = applied
                done = records[-1].offset / max(end, 1)
                log.info("state.restoring", partition=partition.partition, done=f"{done:.0%}")
    finally:
        await consumer.stop()
    return applied


async def read_alerts(client: dict[str, Any], partition: TopicPartition) -> list[Alert]:
    """Every alert still in one partition of the alerts topic, in order."""
    consumer = groupless_consumer(client)
    await consumer.start()
    decode = msgspec.json.Decoder(Alert).decode
    alerts: list[Alert] = []
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        async for records in read_range(consumer, partition, end):
            for record in records:
                try:
                    alerts.append(decode(record.value or b""))
                except msgspec.DecodeError:
                    log.warning("alerts.unreadable", offset=record.offset)
    finally:
        await consumer.stop()
    return alerts
