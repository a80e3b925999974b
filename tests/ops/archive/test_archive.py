"""The archive holds each committed record once, whatever happens in between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from ops.archive.copy import archive_topic
from ops.archive.files import PartitionArchive, Span, archived_records, partitions
from ops.archive.window import prune, window
from ops.kafka_admin.topics import create_topics
from schemas.errors import ConfigError
from schemas.events import control
from schemas.topics import EVENTS
from streams.settings import Train
from streams.transport.record_batch import RecordBatch


def batch(first: int, count: int) -> RecordBatch:
    offsets = list(range(first, first + count))
    return RecordBatch(
        "t",
        0,
        first,
        first + count - 1,
        offsets,
        [1_000 + o for o in offsets],
        [None if o % 3 == 0 else b"k%d" % o for o in offsets],
        [None if o % 5 == 0 else b"\x00\xff%d" % o for o in offsets],
        [(("h", b"\xfe"), ("h", b"2")) if o % 2 else () for o in offsets],
    )


def offsets(archive: PartitionArchive) -> list[int]:
    return [offset for part in archive.read() for offset in part.offsets]


def test_records_come_back_byte_for_byte(tmp_path: Path) -> None:
    archive = PartitionArchive(tmp_path, "t", 0)
    archive.write(Span(0, 30), [batch(0, 10), batch(10, 20)])
    assert list(archive.read(max_records=10)) == [batch(0, 10), batch(10, 10), batch(20, 10)]


def test_file_names_say_what_is_missing(tmp_path: Path) -> None:
    archive = PartitionArchive(tmp_path, "t", 0)
    assert archive.missing(5, 9) == [Span(5, 9)]
    archive.write(Span(10, 20), [batch(10, 10)])
    archive.write(Span(30, 40), [batch(30, 10)])
    assert archive.missing(0, 50) == [Span(0, 10), Span(20, 30), Span(40, 50)]
    assert archive.missing(12, 35) == [Span(20, 30)]
    assert archive.path(Span(10, 20)).name == "00000000000000000010-00000000000000000020.parquet"


def test_damaged_and_unfinished_files_count_as_absent(tmp_path: Path) -> None:
    archive = PartitionArchive(tmp_path, "t", 0)
    for first in (0, 10, 20):
        archive.write(Span(first, first + 10), [batch(first, 10)])
    damaged = archive.path(Span(10, 20))
    damaged.write_bytes(damaged.read_bytes()[:-10])
    (archive.directory / f".{damaged.name}.7.partial").write_bytes(b"half")
    (archive.directory / "notes.txt").write_text("not ours")
    assert archive.missing(0, 30) == [Span(10, 20)]
    archive.write(Span(10, 20), [batch(10, 10)])
    assert offsets(archive) == list(range(30))


def test_overlapping_files_give_each_record_once(tmp_path: Path) -> None:
    archive = PartitionArchive(tmp_path, "t", 0)
    archive.write(Span(0, 10), [batch(0, 10)])
    archive.write(Span(0, 25), [batch(0, 25)])
    archive.write(Span(20, 30), [batch(20, 10)])
    assert offsets(archive) == list(range(25))


async def create_topic(client: dict[str, str], topic: str, count: int) -> None:
    spec = replace(EVENTS, name=topic, partitions=count)
    await create_topics(client, [spec], replication_factor=1)


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


async def publish(bootstrap: str, topic: str, first: int, count: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for number in range(first, first + count):
            await producer.send(topic, b"%d" % number, key=b"%d" % (number % 7))
        await producer.flush()
    finally:
        await producer.stop()


def values(root: Path, topic: str) -> list[int]:
    return sorted(
        int(value or b"")
        for part in partitions(root, topic)
        for found in part.read()
        for value in found.values
    )


@pytest.mark.kafka
async def test_archiving_again_adds_what_is_new_and_nothing_else(
    kafka_bootstrap: str, unique_name: Callable[[], str], tmp_path: Path
) -> None:
    topic, client = unique_name(), {"bootstrap_servers": kafka_bootstrap}
    await create_topic(client, topic, 3)
    await publish(kafka_bootstrap, topic, 0, 500)
    assert await archive_topic(client, topic, tmp_path) == 500
    held = files(tmp_path)
    assert await archive_topic(client, topic, tmp_path) == 0
    assert files(tmp_path) == held
    await publish(kafka_bootstrap, topic, 500, 100)
    assert await archive_topic(client, topic, tmp_path) == 100
    held[0].write_bytes(held[0].read_bytes()[:100])
    assert await archive_topic(client, topic, tmp_path) > 0
    assert values(tmp_path, topic) == list(range(600))
    assert archived_records(tmp_path, topic) == 600


@pytest.mark.kafka
async def test_what_was_pruned_is_not_copied_again_and_who_was_forgotten_stays_away(
    kafka_bootstrap: str, unique_name: Callable[[], str], tmp_path: Path
) -> None:
    """Kafka keeps it for longer than the window: also for one that grows again."""
    topic, client = unique_name(), {"bootstrap_servers": kafka_bootstrap}
    await create_topic(client, topic, 1)
    day_ms, now_ms = 86_400_000, int(time.time() * 1000)
    producer = AIOKafkaProducer(**client)

    async def send(days: int, *users: str) -> None:
        for user in users:
            key, value = user.encode(), json.dumps({"userId": user}).encode()
            stamp = now_ms - days * day_ms
            await producer.send_and_wait(topic, value, key, timestamp_ms=stamp)

    def held() -> list[bytes | None]:
        return [key for part in partitions(tmp_path, topic) for b in part.read() for key in b.keys]

    await producer.start()
    try:
        await send(20, "ann", "bob")
        await archive_topic(client, topic, tmp_path)
        key, value, headers = control.forget("ann")
        await producer.send_and_wait(topic, value, key, headers=headers)
        await send(0, "cid")
    finally:
        await producer.stop()
    await archive_topic(client, topic, tmp_path)
    assert held() == [b"bob", b"cid"]
    for _ in range(2):
        kept = window(tmp_path, topic, Train(window_days=5, warm_up_days=5))
        assert kept is not None
        assert await archive_topic(client, topic, tmp_path, since_ms=kept.kept_ms) == 0
        prune(tmp_path, topic, kept.kept_ms)
        assert held() == [b"cid"]
    longer = window(tmp_path, topic, Train(window_days=30))
    assert longer is not None
    await archive_topic(client, topic, tmp_path, since_ms=longer.kept_ms)
    assert held() == [b"bob", b"cid"]


@pytest.mark.kafka
async def test_aborted_records_are_never_archived(
    kafka_bootstrap: str, unique_name: Callable[[], str], tmp_path: Path
) -> None:
    topic, client = unique_name(), {"bootstrap_servers": kafka_bootstrap}
    await create_topic(client, topic, 1)
    producer = AIOKafkaProducer(**client, transactional_id=topic)
    await producer.start()
    try:
        for number in range(3):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"%d" % number)
            if number == 1:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
    finally:
        await producer.stop()
    await archive_topic(client, topic, tmp_path)
    assert values(tmp_path, topic) == [0, 2]
    assert await archive_topic(client, topic, tmp_path) == 0


@pytest.mark.kafka
async def test_an_archive_of_another_cluster_is_refused(
    kafka_bootstrap: str, unique_name: Callable[[], str], tmp_path: Path
) -> None:
    topic, client = unique_name(), {"bootstrap_servers": kafka_bootstrap}
    await create_topic(client, topic, 1)
    PartitionArchive(tmp_path, topic, 0).write(Span(0, 10), [batch(0, 10)])
    with pytest.raises(ConfigError, match="another cluster"):
        await archive_topic(client, topic, tmp_path)
    with pytest.raises(ConfigError, match="missing"):
        await archive_topic(client, unique_name(), tmp_path)
