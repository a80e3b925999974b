"""Publishing on a real broker."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from ops.publish.pace import at_rate
from ops.publish.publisher import Publisher
from ops.publish.segment import Records
from schemas.errors import ConfigError, TransientError
from streams.kafka.log import Record, groupless_consumer

PARTITIONS = 5


def _records(topic: str, keys: list[bytes]) -> Records:
    values: list[bytes | None] = [f"{i}".encode() for i in range(len(keys))]
    return Records(topic, keys, values, np.arange(len(keys), dtype=np.int64))


async def _topic(bootstrap: str, name: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


async def _read(bootstrap: str, topic: str, count: int) -> list[Record]:
    consumer = groupless_consumer({"bootstrap_servers": bootstrap})
    consumer.subscribe([topic])
    await consumer.start()
    found: list[Record] = []
    end = time.monotonic() + 20
    while len(found) < count and time.monotonic() < end:
        for group in (await consumer.getmany(timeout_ms=200)).values():
            found += group
    await consumer.stop()
    return found


async def test_all_is_acknowledged_in_order_and_where_stock_clients_put_it(
    kafka_bootstrap: str, unique_name: Callable[[], str]
) -> None:
    topic = await _topic(kafka_bootstrap, unique_name())
    keys = [f"user-{i % 97}".encode() for i in range(10_000)]
    chunks = [_records(topic, keys[i : i + 999]) for i in range(0, len(keys), 999)]
    async with Publisher({"bootstrap_servers": kafka_bootstrap}, topic) as publisher:
        seen: list[int] = []
        published = await publisher.publish(chunks, None, seen.append)
    assert published.sent[topic] == len(keys)
    assert seen[-1] == len(keys)
    ours = await _read(kafka_bootstrap, topic, len(keys))
    assert len(ours) == len(keys)
    order = defaultdict(list)
    for record in ours:
        order[record.key].append(record.value)
    sent = defaultdict(list)
    for chunk in chunks:
        for key, value in zip(chunk.keys, chunk.values, strict=True):
            sent[key].append(value)
    assert order == sent

    other = await _topic(kafka_bootstrap, unique_name())
    stock = Producer({"bootstrap.servers": kafka_bootstrap, "partitioner": "murmur2_random"})
    for key in sorted(set(keys)):
        stock.produce(other, key=key, value=b"x")
    assert stock.flush(20) == 0
    theirs = await _read(kafka_bootstrap, other, 97)
    assert {r.key: r.partition for r in ours} == {r.key: r.partition for r in theirs}


async def test_a_rate_is_kept_and_lateness_is_told(
    kafka_bootstrap: str, unique_name: Callable[[], str]
) -> None:
    topic = await _topic(kafka_bootstrap, unique_name())
    async with Publisher({"bootstrap_servers": kafka_bootstrap}, topic) as publisher:
        published = await publisher.publish([_records(topic, [b"k"] * 600)], at_rate(400.0))
    summary = published.summary(topic)
    assert summary["sent"] == 600
    assert 1.49 <= summary["seconds"] < 60  # the machine may be busy
    assert summary["lateness_ms"]["p50"] >= 0.0


async def test_the_schedule_goes_on_while_preparing_a_chunk_takes_long(
    kafka_bootstrap: str, unique_name: Callable[[], str]
) -> None:
    topic = await _topic(kafka_bootstrap, unique_name())

    def slowly() -> Iterator[Records]:
        yield _records(topic, [b"k"] * 10)
        time.sleep(0.5)
        yield _records(topic, [b"k"] * 10)

    async with Publisher({"bootstrap_servers": kafka_bootstrap}, topic) as publisher:
        published = await publisher.publish(slowly(), at_rate(1_000.0))
    assert published.sent[topic] == 20
    assert published.summary(topic)["lateness_ms"]["max"] > 400


async def test_other_topics_go_along_in_their_place(
    kafka_bootstrap: str, unique_name: Callable[[], str]
) -> None:
    topic, items = [await _topic(kafka_bootstrap, unique_name()) for _ in range(2)]
    chunks = [_records(items, [b"i"] * 3), _records(topic, [b"k"] * 5)]
    async with Publisher({"bootstrap_servers": kafka_bootstrap}, topic) as publisher:
        published = await publisher.publish(chunks, at_rate(1_000.0))
    assert published.sent == {topic: 5, items: 3}
    assert len(await _read(kafka_bootstrap, items, 3)) == 3


async def test_nobody_there_is_one_clear_error() -> None:
    with pytest.raises(TransientError, match=r"no Kafka at 127\.0\.0\.1:1"):
        async with Publisher({"bootstrap_servers": "127.0.0.1:1"}, "events"):
            pass


async def test_a_topic_that_can_not_be_is_an_error(kafka_bootstrap: str) -> None:
    with pytest.raises((ConfigError, TransientError), match=r"[tT]opic"):
        async with Publisher({"bootstrap_servers": kafka_bootstrap}, "no such topic"):
            pass
