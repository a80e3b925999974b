"""Copy a topic from Kafka into its archive: what is missing and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.storage import lock
from ops.archive.files import PartitionArchive, Span
from ops.archive.forgotten import Erased, Forgotten
from schemas.errors import ConfigError, TransientError
from schemas.topics import EVENTS
from streams.kafka.cluster_check import check_cluster
from streams.kafka.log import groupless_consumer
from streams.transport.record_batch import RecordBatch, fold

FILE_RECORDS = 200_000
LOCK = ".archive.lock"
IDLE_POLLS = 6
"""Empty fetches of 500 ms after which a span is left for the next run: aborted transactions at
a log's very end move no position until more is written."""

Progress = Callable[[int, int], None]
"""Called with records copied so far and records expected."""


async def archive_topic(
    client: dict[str, Any],
    topic: str,
    root: Path,
    progress: Progress | None = None,
    erased: Erased | None = None,
    since_ms: int | None = None,
) -> int:
    """Archive every committed record of a topic that isn't archived yet -> how many that were.

    Users whom the log says to forget are left out, and erased from what was archived before;
    `erased` is told how much that was. One process at a time. Records older than `since_ms` at the
    log's beginning, which the archive was pruned of, aren't copied again.

    Raises
    ------
    ConfigError
        The topic doesn't exist, or is another one than was archived here before.
    TransientError
        Kafka stopped answering; what was written stays, the next run goes on from there. Or
        archived files can't be read at the moment (where nobody looks at `erased`).
    """
    partitions = (await check_cluster(client, [replace(EVENTS, name=topic)], role="trainer"))[topic]
    consumer = groupless_consumer(client, max_partition_fetch_bytes=4 << 20)
    try:
        await consumer.start()
        try:
            with lock.held(root / LOCK, "archiving", wait=True):
                forgotten = Forgotten(root, topic)
                done = await _archive(
                    consumer,
                    topic,
                    partitions,
                    root,
                    forgotten,
                    progress or (lambda done, expected: None),
                    since_ms,
                )
                forgotten.erase(erased)
                return done
        finally:
            await consumer.stop()
    except KafkaError as error:
        raise TransientError(f"archiving {topic}: {type(error).__name__}: {error}") from error


async def _archive(
    consumer: AIOKafkaConsumer,
    topic: str,
    partitions: int,
    root: Path,
    forgotten: Forgotten,
    progress: Progress,
    since_ms: int | None,
) -> int:
    places = [TopicPartition(topic, number) for number in range(partitions)]
    begins = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(places)
    if since_ms is not None:
        found = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
        for place, at in found.items():
            begins[place] = ends[place] if at is None else max(begins[place], at.offset)
    work: list[tuple[TopicPartition, Span]] = []
    for place in places:
        held = PartitionArchive(root, topic, place.partition)
        held.set_aside_damaged()
        newest = max((span.next for span in held.spans()), default=0)
        if newest > ends[place]:
            raise ConfigError(
                f"{held.directory} holds offsets up to {newest}, but {topic} ends at "
                f"{ends[place]}: it belongs to another cluster; choose another --archive"
            )
        work += [(place, gap) for gap in held.missing(begins[place], ends[place])]
    expected = sum(gap.next - gap.first for _, gap in work)
    done = 0
    for place, gap in work:
        consumer.assign([place])
        consumer.seek(place, gap.first)
        held = PartitionArchive(root, topic, place.partition)
        first = gap.first
        while first < gap.next:
            batches, after = await _read(consumer, place, gap.next)
            if after == first:
                await consumer.end_offsets([place])  # raises if Kafka is gone and not just quiet
                break
            kept = [part for part in map(forgotten.take, batches) if part is not None]
            held.write(Span(first, after), kept)
            first = after
            done += sum(len(batch) for batch in batches)
            progress(done, expected)
    return done


async def _read(
    consumer: AIOKafkaConsumer, place: TopicPartition, end: int
) -> tuple[list[RecordBatch], int]:
    """Up to `FILE_RECORDS` records before offset `end`, and the offset that follows them."""
    batches: list[RecordBatch] = []
    count = idle = 0
    while count < FILE_RECORDS and idle < IDLE_POLLS:
        position = int(await consumer.position(place))
        if position >= end:
            break
        fetched = await consumer.getmany(place, timeout_ms=500, max_records=10_000)
        records = [record for record in fetched.get(place, []) if record.offset < end]
        if records:
            batches.append(fold(place.topic, place.partition, records))
            count += len(records)
        moved = int(await consumer.position(place)) > position
        idle = 0 if moved else idle + 1
    return batches, min(int(await consumer.position(place)), end)
