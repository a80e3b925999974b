"""Restores a partition's state from its checkpoint, and then from its log.

Both are read without joining a group, up to the group's committed offset, before the first new
batch.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.errors import StateError
from schemas.outputs import Alert
from streams.alerts.book import comes_from, source_offset
from streams.checkpoints.head import Head
from streams.checkpoints.reader import CheckpointReader, Found
from streams.checkpoints.rebuild import Restoring
from streams.kafka.log import Record, groupless_consumer, read_from, read_range
from streams.monitoring.checkpoint_metrics import CheckpointMetrics
from streams.partition import PartitionState
from streams.pipeline import Pipeline
from streams.transport.record_batch import RecordBatch, fold

LOG_EVERY_S = 5.0


class RestoreProgress:
    """Counts the records of checkpoints and logs that one rebalance has to read.

    Parameters
    ----------
    metrics
        Shows the share that is done.
    """

    def __init__(self, metrics: CheckpointMetrics) -> None:
        self._metrics = metrics
        self._began_s = self._logged_s = time.monotonic()
        self._total = self._done = 0
        self.alerts = self.letters = 0  # records read back of what was published

    def expect(self, offsets: int) -> None:
        """Add `offsets` to the number of records to read."""
        self._total += max(0, offsets)
        self._show()

    def advance(self, offsets: int) -> None:
        """Add `offsets` to the number of records read."""
        self._done += offsets
        self._show()

    def read_back(self, alerts: int, letters: int) -> None:
        """Count published alerts and dead letters that were read back."""
        self.alerts += alerts
        self.letters += letters

    def finish(self) -> float:
        """Note the end of the restore -> its duration in seconds."""
        seconds = time.monotonic() - self._began_s
        self._metrics.restored(seconds)
        return seconds

    def _show(self) -> None:
        ratio = min(1.0, self._done / self._total) if self._total else 1.0
        self._metrics.restoring(ratio)
        now_s = time.monotonic()
        if now_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = now_s
            log.info("state.restoring", done=f"{ratio:.0%}", seconds=round(now_s - self._began_s))


log = structlog.get_logger(__name__)
REPLAYED_TOGETHER = 500
"""Records that are replayed at once: the partitions that are read meanwhile wait for them."""


async def committed_offsets(
    client: dict[str, Any], group: str, partitions: list[TopicPartition] | None = None
) -> dict[TopicPartition, int]:
    """The group's committed offsets of these (or all) partitions; uncommitted ones are left out."""
    admin = AIOKafkaAdminClient(**client)
    try:
        await admin.start()
        found = await admin.list_consumer_group_offsets(group, partitions=partitions)
    finally:
        await admin.close()
    return {tp: at.offset for tp, at in found.items() if at is not None and at.offset >= 0}


async def restore_checkpoint(
    reader: CheckpointReader,
    found: Found,
    head: Head,
    state: PartitionState,
    pipeline: Pipeline,
    progress: RestoreProgress,
) -> None:
    """Fill an empty state from the checkpoint of `head`.

    Raises
    ------
    StateError
        The checkpoint is incomplete or has another layout; the state is unusable then.
    """
    restoring = Restoring(state)

    async def parts(keys: Sequence[bytes], values: Sequence[bytes | None], read: int) -> None:
        restoring.parts(keys, values)
        progress.advance(read)

    async def rows(keys: Sequence[bytes], values: Sequence[bytes | None], read: int) -> None:
        await pipeline.in_scorer(partial(restoring.rows, keys, values))
        progress.advance(read)

    progress.expect(found.rows_end - head.rows_from + found.parts_end - head.parts_from)
    await reader.read_parts(head.parts_from, found.parts_end, parts)
    await reader.read_rows(head.rows_from, found.rows_end, rows)
    offset = await pipeline.in_scorer(restoring.finish)
    if offset != head.offset:
        raise StateError(f"counters: the marker is at {offset}, the head says {head.offset}")


def accept(value: bytes, group: str, committed: int) -> Head:
    """The head of a checkpoint that `group` can continue from; raises `StateError` if it can't."""
    head = Head.decode(value)
    if head.group != group:
        raise StateError(f"it is of group {head.group!r}: give every group a prefix of its own")
    if head.offset > committed:
        raise StateError(f"it is at offset {head.offset}, the group goes on at {committed}")
    return head


async def replay(
    client: dict[str, Any],
    partition: TopicPartition,
    begin: int | None,
    end: int,
    apply: Callable[[RecordBatch], Awaitable[int]],
    progress: RestoreProgress | None = None,
) -> int:
    """Apply the log of a partition from `begin` (None: its start) to `end`, without output.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    partition, begin, end
        Offsets of a partition of `events`, `end` not included.
    apply
        Applies a record batch, and returns the number of events applied.
    progress
        Counts the records read.

    Returns
    -------
    int
        Events applied.
    """
    consumer = groupless_consumer(client, max_partition_fetch_bytes=4 << 20)
    applied = 0
    try:
        await consumer.start()
        consumer.assign([partition])
        first = (await consumer.beginning_offsets([partition]))[partition]
        if begin is not None and begin < first:
            log.error(
                "state.incomplete",
                partition=partition.partition,
                why=f"offsets {begin} to {first - 1} of {partition.topic} are no longer kept, and "
                "came after the last checkpoint",
            )
        at = max(begin or 0, first)
        if progress is not None:
            progress.expect(end - at)
        consumer.seek(partition, at)
        async for records in read_range(consumer, partition, end):
            batch = fold(partition.topic, partition.partition, records)
            for row in range(0, len(batch), REPLAYED_TOGETHER):
                piece = batch.part(row, min(row + REPLAYED_TOGETHER, len(batch)))
                applied += await apply(piece)
            if progress is not None:
                progress.advance(records[-1].offset + 1 - at)
            at = records[-1].offset + 1
    finally:
        await consumer.stop()
    return applied


async def read_alerts(
    client: dict[str, Any],
    partition: TopicPartition,
    begin: int,
    number: int,
    since: int,
    until: int,
) -> tuple[list[Alert], int]:
    """Read the published alerts of some events of one partition.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    partition, begin
        A partition of `alerts`, and the offset to begin at.
    number
        Of the partition of `events`.
    since, until
        Offsets of the events, `until` not included.

    Returns
    -------
    tuple
        The alerts in the order of their events, and how many records were read.
    """
    if until <= since:
        return [], 0
    found: list[Record] = []
    read = 0
    async for records in read_from(client, partition, begin):
        read += len(records)
        own = [r for r in records if comes_from(r.headers, number)]
        found += [r for r in own if not since or source_offset(r.headers) >= since]
    return alerts_until(until, found), read


def alerts_until(until: int, records: Sequence[Record]) -> list[Alert]:
    """The alerts of the events below offset `until`, in the order of their events.

    A worker that died may have published alerts of uncommitted events. These events are scored
    again, so the book must be as it was before them. Late repeats from a worker that was replaced
    change nothing.
    """
    decode = msgspec.json.Decoder(Alert).decode
    found: list[tuple[int, Alert]] = []
    for record in records:
        event = source_offset(record.headers)
        if event >= until:
            continue
        try:
            found.append((event, decode(record.value or b"")))
        except msgspec.DecodeError:
            log.warning("alerts.unreadable", offset=record.offset)
    return [alert for _, alert in sorted(found, key=lambda pair: pair[0])]
