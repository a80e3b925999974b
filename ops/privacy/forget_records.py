"""Forget records on the event log: publishing them to every partition, and finding them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import TransientError
from schemas.events.control import forget, forgotten
from schemas.topics import EVENTS
from streams.kafka.cluster_check import check_cluster
from streams.kafka.log import groupless_consumer, read_range


@dataclass(frozen=True, slots=True)
class Place:
    """Where a forget record is, and the broker's time of it."""

    partition: int
    offset: int
    at_ms: int


async def publish(client: dict[str, Any], topic: str, user_id: str) -> list[Place]:
    """Say in every partition that a user is to be forgotten -> where it says so.

    Raises
    ------
    TransientError
        A broker didn't confirm; some partitions may have the record. Do it again.
    """
    count = (await check_cluster(client, [replace(EVENTS, name=topic)]))[topic]
    key, value, headers = forget(user_id)
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **client)
    try:
        await producer.start()
        try:
            sent = [
                await producer.send_and_wait(topic, value, key, partition=number, headers=headers)
                for number in range(count)
            ]
        finally:
            await producer.stop()
    except (KafkaError, OSError) as error:
        raise TransientError(f"forgetting on {topic}: {error!r}; do it again") from error
    return [Place(one.partition, one.offset, one.timestamp) for one in sent]


async def find(client: dict[str, Any], topic: str, user_ids: list[str]) -> list[Place]:
    """The newest forget record of each user in each partition, as far as the log goes back.

    Raises
    ------
    TransientError
        Kafka stopped answering.
    """
    count = (await check_cluster(client, [replace(EVENTS, name=topic)]))[topic]
    consumer = groupless_consumer(client, max_partition_fetch_bytes=4 << 20)
    found: dict[tuple[int, str], Place] = {}
    try:
        await consumer.start()
        try:
            for number in range(count):
                tp = TopicPartition(topic, number)
                consumer.assign([tp])
                await consumer.seek_to_beginning(tp)
                (end,) = (await consumer.end_offsets([tp])).values()
                async for records in read_range(consumer, tp, end):
                    for record in records:
                        user_id = forgotten(record.value, record.headers)
                        if user_id in user_ids and user_id is not None:
                            place = Place(number, record.offset, record.timestamp)
                            found[number, user_id] = place
        finally:
            await consumer.stop()
    except (KafkaError, OSError) as error:
        raise TransientError(f"reading {topic}: {error!r}") from error
    return [found[where] for where in sorted(found)]
