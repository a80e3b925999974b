"""Checkpoints on the broker: whole or not there, by one writer at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from ops.kafka_admin.topics import create_topics
from schemas.errors import FencedError
from schemas.topics import COUNTERS, USER_STATE, state_transaction
from streams.checkpoints.head import HEAD, Head
from streams.checkpoints.reader import CheckpointReader
from streams.checkpoints.writer import CheckpointWriter, StateTopics
from streams.kafka.log import groupless_consumer, read_range
from tests.few_partitions import topics


class Partition:
    """Partition 0 of state topics of its own."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.client = {"bootstrap_servers": bootstrap}
        self.id = state_transaction(prefix, 0)
        self.topics = StateTopics(prefix + USER_STATE.name, prefix + COUNTERS.name)

    async def writer(self) -> CheckpointWriter:
        made = CheckpointWriter(self.client, self.id, self.topics, 0, max_message_bytes=8_000_000)
        await made.start()
        return made

    async def read(self) -> tuple[Head | None, dict[bytes, bytes | None]]:
        """The newest head, and the newest record of every user."""
        rows: dict[bytes, bytes | None] = {}

        async def take(keys: Sequence[bytes], values: Sequence[bytes | None], _read: int) -> None:
            rows.update(zip(keys, values, strict=True))

        async with CheckpointReader(self.client, self.topics, 0) as reader:
            found = await reader.find()
            await reader.read_rows(0, found.rows_end, take)
        return Head.decode(found.head) if found.head is not None else None, rows


@pytest.fixture
async def partition(kafka_bootstrap: str, topic_prefix: str) -> Partition:
    made = Partition(kafka_bootstrap, topic_prefix)
    await create_topics(made.client, topics(topic_prefix), 1)
    return made


def head(offset: int) -> tuple[bytes, bytes]:
    return HEAD, Head("group", offset, 0, 0, 0).encode()


async def test_a_checkpoint_comes_back_as_it_was_written(partition: Partition) -> None:
    writer = await partition.writer()
    large = [(f"u-{n}".encode(), bytes([n % 256]) * 1_500) for n in range(5_000)]  # many batches
    await writer.write(large, [(b"part", b"x"), head(7)])
    await writer.write([(b"u-1", None), (b"u-2", b"new")], [head(9)])
    await writer.stop()
    found, rows = await partition.read()
    assert found is not None
    assert found.offset == 9
    assert rows == {**dict(large), b"u-1": None, b"u-2": b"new"}


async def test_whoever_comes_later_fences_the_one_before(partition: Partition) -> None:
    zombie = await partition.writer()
    await zombie.write([(b"u", b"1")], [head(1)])
    owner = await partition.writer()
    with pytest.raises(FencedError):
        await zombie.write([(b"u", b"zombie"), (b"v", b"zombie")], [head(2)])
    assert zombie.fenced
    await owner.write([(b"u", b"2")], [head(3)])
    with pytest.raises(FencedError, match="another writer"):
        await zombie.write([(b"u", b"zombie")], [head(4)])
    await asyncio.gather(zombie.stop(), owner.stop())
    found, rows = await partition.read()
    assert found is not None
    assert (found.offset, rows) == (3, {b"u": b"2"})


async def test_half_a_checkpoint_of_a_dead_writer_is_void(partition: Partition) -> None:
    writer = await partition.writer()
    await writer.write([(b"u", b"1")], [head(1)])
    await writer.stop()
    dead = AIOKafkaProducer(**partition.client, transactional_id=partition.id)
    await dead.start()
    await dead.begin_transaction()
    await dead.send_and_wait(partition.topics.rows, b"half", b"u", partition=0)
    for n in range(200):  # more than the reader looks back at once
        await dead.send(partition.topics.parts, b"half", f"{n}".encode(), partition=0)
    await dead.flush()
    owner = await partition.writer()
    found, rows = await partition.read()
    assert found is not None
    assert (found.offset, rows) == (1, {b"u": b"1"})
    await asyncio.gather(owner.stop(), dead.stop())


async def test_a_partition_without_checkpoints_has_no_head(partition: Partition) -> None:
    assert await partition.read() == (None, {})


async def test_a_range_that_ends_in_nothing_to_read_ends(partition: Partition) -> None:
    """Aborted records, transaction markers, and offsets beyond the end of the log."""
    tp = TopicPartition(partition.topics.rows, 0)
    producer = AIOKafkaProducer(**partition.client, transactional_id=partition.id)
    await producer.start()
    for commit in (True, False):
        await producer.begin_transaction()
        await producer.send_and_wait(tp.topic, b"v", b"k", partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()
    consumer = groupless_consumer(partition.client)
    await consumer.start()
    try:
        consumer.assign([tp])
        for begin in (0, 1, 3):
            for end in (1, 4, 1_000):
                consumer.seek(tp, begin)
                async with asyncio.timeout(20):
                    read = [r.offset async for some in read_range(consumer, tp, end) for r in some]
                assert read == ([0] if begin == 0 else [])
    finally:
        await consumer.stop()
