"""An independent reader: whole topics with a plain client, none of the worker's code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from schemas.errors import TransientError

_STUCK_S = 60


async def read_topic(servers: str, topic: str) -> AsyncIterator[ConsumerRecord[Any, Any]]:
    """Every record of a topic as it stands, partition by partition in order of offset.

    Raises
    ------
    TransientError
        The brokers give nothing more before the end is reached.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        for partition in await _partitions(servers, topic):
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            since = time.monotonic()
            while await consumer.position(partition) < end:
                fetched = await consumer.getmany(partition, timeout_ms=500, max_records=2_000)
                for record in fetched.get(partition, []):
                    since = time.monotonic()
                    yield record
                if time.monotonic() - since > _STUCK_S:
                    raise TransientError(f"{topic}: nothing more to read before offset {end}")
    finally:
        await consumer.stop()


async def _partitions(servers: str, topic: str) -> list[TopicPartition]:
    async with _admin(servers) as admin:
        described = await admin.describe_topics([topic])
    numbers = sorted(one["partition"] for one in described[0]["partitions"])
    return [TopicPartition(topic, number) for number in numbers]


@asynccontextmanager
async def _admin(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def committed(servers: str, group: str, topic: str) -> dict[int, int]:
    """By partition, where `group` goes on reading."""
    async with _admin(servers) as admin:
        found = await admin.list_consumer_group_offsets(group)
    return {tp.partition: max(0, at.offset) for tp, at in found.items() if tp.topic == topic}


async def unread(servers: str, group: str, topic: str) -> int:
    """Records of `topic` at or beyond what `group` has committed; -1 if nobody can tell now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    try:
        await consumer.start()
        ends = await consumer.end_offsets(await _partitions(servers, topic))
        done = await committed(servers, group, topic)
    except (KafkaError, OSError):
        return -1
    finally:
        await consumer.stop()
    return sum(end - done.get(tp.partition, 0) for tp, end in ends.items())


async def in_sync(servers: str) -> bool:
    """Whether every replica of every topic is in sync."""
    try:
        async with _admin(servers) as admin:
            described = await admin.describe_topics()
    except (KafkaError, OSError):
        return False
    return all(
        len(partition["isr"]) == len(partition["replicas"])
        for topic in described
        for partition in topic["partitions"]
    )


async def until_in_sync(servers: str, timeout_s: float) -> None:
    """Wait for `in_sync`.

    Raises
    ------
    TransientError
        Not in time.
    """
    end = time.monotonic() + timeout_s
    while not await in_sync(servers):
        if time.monotonic() > end:
            raise TransientError(f"replicas aren't in sync after {timeout_s:.0f} s")
        await asyncio.sleep(0.5)
