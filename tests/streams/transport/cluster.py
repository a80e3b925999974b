"""What the transport tests do to the broker: topics, records, transactions, commits."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.group import LeaveGroupRequest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

PATIENCE_S = 45.0


class Cluster:
    """One broker, and names of topics and groups that nothing else uses."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def name(self, stem: str) -> str:
        return f"transport-{stem}-{uuid.uuid4().hex[:8]}"

    async def topic(self, partitions: int = 1, **config: str) -> str:
        """Create a topic; `config` with underscores for dots."""
        topic = self.name("topic")
        await self.create(topic, partitions, **config)
        return topic

    async def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        dotted = {key.replace("_", "."): value for key, value in config.items()}
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dotted)])
        finally:
            await admin.close()

    async def produce(
        self, topic: str, values: Sequence[bytes], partition: int | None = 0, key: bytes = b"k"
    ) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5) as producer:
            await self._send(producer, topic, values, partition, key)

    async def transaction(self, topic: str, values: Sequence[bytes], *, commit: bool) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, transactional_id=self.name("tx")
        )
        async with producer:
            await producer.begin_transaction()
            await self._send(producer, topic, values, 0, b"k")
            await (producer.commit_transaction() if commit else producer.abort_transaction())

    @staticmethod
    async def _send(
        producer: AIOKafkaProducer,
        topic: str,
        values: Sequence[bytes],
        partition: int | None,
        key: bytes,
    ) -> None:
        sent = [await producer.send(topic, value, key=key, partition=partition) for value in values]
        await asyncio.gather(*sent)

    async def offsets(self, topic: str, partition: int = 0) -> list[int]:
        """Offsets that the partition still has, as a committed reader sees them."""
        tp = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed"
        )
        async with consumer:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            found: list[int] = []
            while await consumer.position(tp) < end:
                batch = await consumer.getmany(tp, timeout_ms=500)
                found += [record.offset for record in batch.get(tp, [])]
            return found

    async def end(self, topic: str, partition: int = 0) -> int:
        tp = TopicPartition(topic, partition)
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            end: int = (await consumer.end_offsets([tp]))[tp]
            return end

    async def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        found = offsets.get(TopicPartition(topic, partition))
        return found.offset if found is not None and found.offset >= 0 else None

    async def commit(self, group: str, topic: str, offset: int) -> None:
        tp = TopicPartition(topic, 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False
        )
        async with consumer:
            consumer.assign([tp])
            await consumer.commit({tp: offset})

    async def remove_members(self, group: str) -> None:
        """Make the group's coordinator drop all members, as if they had left."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            (found,) = (await admin.describe_consumer_groups([group]))[0].groups
        finally:
            await admin.close()
        members = [member[0] for member in found[5]]
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap)
        await client.bootstrap()
        try:
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
            await client.ready(coordinator)
            for member in members:
                await client.send(coordinator, LeaveGroupRequest(group, member))
        finally:
            await client.close()

    def clean_logs_often(self) -> None:
        """Let the broker's log cleaner look for work twice a second, not every 15 s."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for broker in admin.list_topics(timeout=PATIENCE_S).brokers:
            entry = ConfigEntry(
                "log.cleaner.backoff.ms", "500", incremental_operation=AlterConfigOpType.SET
            )
            resource = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
            admin.incremental_alter_configs([resource])[resource].result(PATIENCE_S)


async def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what}")
        await asyncio.sleep(0.02)


def numbers(first: int, last: int, size: int = 0) -> list[bytes]:
    """Values that can be told apart: the numbers first..last-1, padded to `size` bytes."""
    return [b"%d" % number + b" " * (size - 7) for number in range(first, last)]
