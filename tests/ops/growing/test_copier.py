"""Copies: in the order of time, each exactly once whatever happens, and proven."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from ops.growing.copier import COPIED, Copier
from ops.growing.group import settled_ends
from ops.growing.placing import Placement
from ops.growing.proof import prove
from schemas.errors import HarkError
from schemas.events.control import forget
from streams.kafka.log import Record, read_from

BEFORE, AFTER, RECORDS = 3, 5, 900
START_MS = time.time_ns() // 1_000_000 - 3_600_000


class Logs:
    """An old topic with records, and a new topic without."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.client: dict[str, Any] = {"bootstrap_servers": bootstrap}
        self.old = [TopicPartition(f"{name}old", number) for number in range(BEFORE)]
        self.new = [TopicPartition(f"{name}new", number) for number in range(AFTER)]
        self.place = Placement("murmur2", BEFORE, AFTER)
        self._name = name

    async def make(self) -> None:
        admin = AIOKafkaAdminClient(**self.client)
        await admin.start()
        await admin.create_topics(
            [NewTopic(tps[0].topic, len(tps), 1) for tps in (self.old, self.new)]
        )
        await admin.close()

    async def publish(self, count: int, first: int = 0) -> None:
        """One record a second, by key, with an odd header now and then."""
        async with AIOKafkaProducer(**self.client) as producer:
            for number in range(first, first + count):
                await producer.send(
                    self.old[0].topic,
                    b"%d" % number,
                    key=b"user-%d" % (number * 7 % 31),
                    timestamp_ms=START_MS + 1_000 * number,
                    headers=[("trace", b"%d" % number)] if number % 3 else [],
                )

    def copier(self, targets: Any = None) -> Copier:
        def everywhere(record: Record) -> list[TopicPartition]:
            return [self.new[number] for number in self.place.targets(record)]

        return Copier(
            self.client, f"{self._name}tx", f"{self._name}grow", self.old, targets or everywhere
        )

    async def prove(self, copier: Copier) -> int:
        return await prove(
            self.client, self.old, self.new, copier.positions, self.place.targets, lambda _: None
        )

    async def read(self, tps: Sequence[TopicPartition]) -> list[Record]:
        await settled_ends(self.client, tps)
        return [r for tp in tps async for found in read_from(self.client, tp, 0) for r in found]


@pytest.fixture
async def logs(kafka_bootstrap: str, topic_prefix: str) -> Logs:
    made = Logs(kafka_bootstrap, topic_prefix)
    await made.make()
    await made.publish(RECORDS)
    return made


async def test_a_copy_that_is_killed_anywhere_goes_on_and_copies_each_record_once(
    logs: Logs,
) -> None:
    for after_s in (0.0, 0.05, 0.1, 0.2, 0.3):
        copying = asyncio.create_task(copy(logs))
        await asyncio.sleep(after_s)
        copying.cancel()
        await asyncio.wait({copying})
    await logs.publish(50, RECORDS)
    assert await logs.prove(await copy(logs)) == RECORDS + 50
    originals, copies = await logs.read(logs.old), await logs.read(logs.new)
    assert sorted(map(content, copies)) == sorted(map(content, originals))
    for tp in logs.new:
        clock = [record.timestamp for record in copies if record.partition == tp.partition]
        assert clock == sorted(clock)
        assert all(
            logs.place.of(r.key) == tp.partition for r in copies if r.partition == tp.partition
        )


async def copy(logs: Logs, targets: Any = None) -> Copier:
    async with logs.copier(targets) as copier:
        await copier.copy(await copier.ends(), lambda _: None)
    return copier


def content(record: Record) -> tuple[Any, ...]:
    headers = tuple(pair for pair in record.headers if pair[0] != COPIED)
    return record.timestamp, record.key, record.value, headers


async def test_only_what_is_asked_for_is_copied(logs: Logs) -> None:
    async with logs.copier() as copier:
        ends = await copier.ends()
        await copier.copy({tp: min(end, 10) for tp, end in ends.items()}, lambda _: None)
        assert set(copier.positions.values()) == {10}
        assert len(await logs.read(logs.new)) == 10 * BEFORE
        passed: list[int] = []
        await copier.copy(ends, passed.append)
        assert sum(passed) == RECORDS - 10 * BEFORE
    assert await logs.prove(copier) == RECORDS


async def test_a_second_copier_ends_the_first(logs: Logs) -> None:
    async with logs.copier() as first:
        async with logs.copier() as second:
            await second.copy(await second.ends(), lambda _: None)
        with pytest.raises(HarkError, match="run the same command again"):
            await first.copy(await first.ends(), lambda _: None)
    assert await logs.prove(second) == RECORDS


async def test_what_kafka_deletes_before_it_is_copied_is_counted(logs: Logs) -> None:
    async with logs.copier() as copier:
        admin = AIOKafkaAdminClient(**logs.client)
        await admin.start()
        await admin.delete_records({logs.old[1]: RecordsToDelete(before_offset=40)})
        await admin.close()
        await copier.copy(await copier.ends(), lambda _: None)
        assert copier.missed == 40
    assert await logs.prove(copier) == RECORDS - 40


async def test_a_forget_record_is_copied_once_to_every_partition(logs: Logs) -> None:
    key, value, headers = forget("user-7")
    async with AIOKafkaProducer(**logs.client) as producer:
        for tp in logs.old:
            await producer.send(tp.topic, value, key, tp.partition, headers=headers)
    assert await logs.prove(await copy(logs)) == RECORDS + AFTER
    copies = [record for record in await logs.read(logs.new) if record.value == value]
    assert sorted(record.partition for record in copies) == list(range(AFTER))


async def test_a_record_that_is_missing_or_comes_twice_is_found(logs: Logs) -> None:
    copier = await copy(logs)
    await logs.publish(1, RECORDS)
    copier.positions = (await copy_nothing(logs)).positions
    with pytest.raises(HarkError, match=r"there are \d+ records .* and \d+ copies"):
        await logs.prove(copier)
    (last,) = [r for r in await logs.read(logs.old) if r.value == b"%d" % RECORDS]
    first = next(r for r in await logs.read(logs.old) if r.key == last.key)
    target = logs.new[logs.place.of(first.key)]
    async with AIOKafkaProducer(**logs.client) as producer:
        for record in (last, first):
            came = [(COPIED, b"%d/%d" % (record.partition, record.offset))]
            await producer.send(
                target.topic, record.value, record.key, target.partition, headers=came
            )
    with pytest.raises(HarkError, match="comes twice or out of order"):
        await logs.prove(copier)


async def copy_nothing(logs: Logs) -> Copier:
    """As a copier that forgets to write."""
    return await copy(logs, lambda _: [])
