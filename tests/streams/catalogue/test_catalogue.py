"""The catalogue on a real broker: read at the start, followed, also into new partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from streams.catalogue.catalogue import Catalogue
from streams.histories.item_table import ItemTable
from tests.end_to_end.running import until

HIDDEN = b'{"available":false}'


@asynccontextmanager
async def reading(bootstrap: str, topic: str, partitions: int) -> AsyncIterator[ItemTable]:
    table = ItemTable()

    async def apply(work: Callable[[], None]) -> None:
        work()

    catalogue = Catalogue({"bootstrap_servers": bootstrap}, topic, table, apply, refresh_s=0.2)
    await catalogue.start(partitions)
    try:
        yield table
    finally:
        await catalogue.stop()


def hidden(table: ItemTable, item: str) -> bool:
    index = table.index(item)
    return not table.available[index]


async def test_partitions_that_are_added_are_read(
    kafka_bootstrap: str, unique_name: Callable[[], str]
) -> None:
    topic = unique_name()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, metadata_max_age_ms=100)
    await admin.start()
    await producer.start()

    async def send(item: str, value: bytes | None, partition: int) -> None:
        await producer.send_and_wait(topic, value, item.encode(), partition=partition)

    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await until(lambda: partitions_of(producer, topic, 1), "the topic is there")
        await send("old", HIDDEN, 0)
        async with reading(kafka_bootstrap, topic, 1) as table:
            assert hidden(table, "old")
            await admin.create_partitions({topic: NewPartitions(3)})
            await until(lambda: partitions_of(producer, topic, 3), "it is wider")
            await send("old", b"{}", 2)
            await send("new", HIDDEN, 1)
            await send("later", HIDDEN, 0)
            await until(lambda: hidden(table, "new"), "a new partition is read")
            await until(lambda: hidden(table, "later"), "the old one is read on")
            await until(lambda: not hidden(table, "old"), "the newest entry counts")
        async with reading(kafka_bootstrap, topic, 3) as table:
            assert [hidden(table, item) for item in ("old", "new", "later")] == [False, True, True]
    finally:
        await producer.stop()
        await admin.close()


async def partitions_of(producer: AIOKafkaProducer, topic: str, count: int) -> bool:
    return len(await producer.partitions_for(topic)) == count
