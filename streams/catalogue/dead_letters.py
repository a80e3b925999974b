"""Unreadable catalogue entries become dead letters, each once per group of workers.

Every worker reads the whole catalogue into its table, so that reading would give each letter many
times. Therefore the workers read `items` a second time in a consumer group, `<group>-catalogue`:
each partition has a single reader, which commits its offset once the letters are confirmed. A
restart writes no letter again; a worker that dies before the commit leaves letters that come twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import RejectedRecord
from schemas.events.catalogue_entry import Entry, read_entry, read_item_id
from streams.group_settings import Assignor
from streams.ingest.dead_letters import dead_letter
from streams.ingest.decode import Rejection
from streams.kafka.producer import Output, OutputProducer
from streams.kafka.retry import retried
from streams.monitoring.metrics import Metrics
from streams.transport.record_batch import RecordBatch, fold

log = structlog.get_logger(__name__)


class CatalogueDeadLetters:
    """A worker's share of the catalogue's dead letters and counts.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    group
        The group in which the workers share the topic.
    topic, letters
        Topics of the catalogue and of the dead letters, as named on the wire.
    producer
        Publishes the letters; must be running.
    metrics
        Counts the entries.
    code_version
        For the letters' headers.
    retry_s
        How long a failed join is retried, in seconds.
    assignor
        Assigns the partitions, and logs where the workers' settings differ.
    """

    def __init__(
        self,
        client: dict[str, Any],
        group: str,
        topic: str,
        letters: str,
        producer: OutputProducer,
        metrics: Metrics,
        code_version: str,
        retry_s: float,
        assignor: type[Assignor],
    ) -> None:
        self._options = {
            **client,
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "partition_assignment_strategy": (assignor,),
        }
        self._topic = topic
        self._letters = letters
        self._producer = producer
        self._metrics = metrics
        self._code_version = code_version
        self._retry_s = retry_s
        self._consumer: AIOKafkaConsumer | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Join the group and read in the background; nothing waits for it."""
        self.task = asyncio.create_task(self._follow(), name="hark-catalogue-letters")

    async def stop(self) -> None:
        """Leave the group."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    async def _follow(self) -> None:
        consumer = await retried("joining the catalogue's group", self._joined, self._retry_s)
        while True:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=2000)
            for tp, records in fetched.items():
                await self._report(consumer, tp, fold(tp.topic, tp.partition, records))

    async def _joined(self) -> AIOKafkaConsumer:
        if self._consumer is not None:
            await self._consumer.stop()
        self._consumer = AIOKafkaConsumer(self._topic, **self._options)
        await self._consumer.start()
        return self._consumer

    async def _report(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, batch: RecordBatch
    ) -> None:
        counts, letters = judge(batch, self._letters, self._code_version)
        await self._producer.confirm(await self._producer.send(letters, tp.partition))
        for (outcome, left_out), count in counts.items():
            self._metrics.catalogue.count(outcome, left_out, count)
        try:
            await consumer.commit({tp: OffsetAndMetadata(batch.last_offset + 1, "")})
        except (CommitFailedError, IllegalStateError) as error:
            # Another worker has the partition now, and reads these records again.
            log.info("catalogue.not_committed", partition=tp.partition, why=str(error))


Counts = Counter[tuple[str, tuple[str, ...]]]
"""Number of entries by outcome and left-out fields."""


def judge(batch: RecordBatch, topic: str, code_version: str) -> tuple[Counts, list[Output]]:
    """Count a batch's entries by outcome, and make the dead letters for `topic`."""
    counts: Counts = Counter()
    letters = []
    for index, (key, value) in enumerate(zip(batch.keys, batch.values, strict=True)):
        try:
            read_item_id(key)
            entry = Entry() if value is None else read_entry(value)
        except RejectedRecord as error:
            counts["rejected", ()] += 1
            rejection = Rejection(index, error.reason, error.detail)
            letters.append(dead_letter(topic, code_version, batch, rejection))
            log.warning(
                "catalogue.rejected",
                partition=batch.partition,
                offset=batch.offsets[index],
                reason=error.reason.value,
            )
            continue
        counts["removed" if value is None else "accepted", entry.left_out] += 1
    return counts, letters
