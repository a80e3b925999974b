"""The catalogue: every worker reads the whole compacted topic `items`, then follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import TopicPartition

from streams.catalogue.entries import CatalogueEntries
from streams.histories.item_table import ItemTable
from streams.kafka.log import Record, groupless_consumer

log = structlog.get_logger(__name__)
Apply = Callable[[Callable[[], None]], Awaitable[None]]
REFRESH_S = 30.0


class Catalogue:
    """Feeds an `ItemTable` from Kafka.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    topic
        Name of the items topic on the wire.
    items
        The table to feed.
    apply
        Runs a function in the scoring thread, the only thread that may change the table.
    refresh_s
        Seconds between two checks whether the topic has new partitions.
    """

    def __init__(
        self,
        client: dict[str, Any],
        topic: str,
        items: ItemTable,
        apply: Apply,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._topic = topic
        self._items = items
        self._entries = CatalogueEntries(items)
        self._apply = apply
        self._consumer = groupless_consumer(client, metadata_max_age_ms=int(refresh_s * 1000))
        self.task: asyncio.Task[None] | None = None

    async def start(self, partition_count: int) -> None:
        """Read the topic to its present end, then follow it in the background."""
        await self._consumer.start()
        partitions = [TopicPartition(self._topic, number) for number in range(partition_count)]
        self._entries.several = partition_count > 1
        self._consumer.assign(partitions)
        ends = await self._consumer.end_offsets(partitions)
        while any([await self._consumer.position(tp) < ends[tp] for tp in partitions]):
            await self._poll()
        log.info("catalogue.read", items=len(self._items))
        self.task = asyncio.create_task(self._follow(), name="hark-catalogue")

    async def stop(self) -> None:
        """Stop following."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            await self._add_new_partitions()
            await self._poll()

    async def _add_new_partitions(self) -> None:
        """Read partitions that were added since the start, from their beginning."""
        numbers = self._consumer.partitions_for_topic(self._topic) or set()
        existing = {TopicPartition(self._topic, number) for number in numbers}
        assigned = self._consumer.assignment()
        if existing <= assigned:
            return
        positions = {tp: await self._consumer.position(tp) for tp in assigned}
        self._entries.several = True
        self._consumer.assign(sorted(existing | assigned))
        for tp, position in positions.items():
            self._consumer.seek(tp, position)
        log.info("catalogue.widened", partitions=len(existing | assigned))

    async def _poll(self) -> None:
        fetched = await self._consumer.getmany(timeout_ms=1000, max_records=2000)
        records = [record for group in fetched.values() for record in group]
        if records:
            await self._apply(lambda: self._apply_records(records))

    def _apply_records(self, records: list[Record]) -> None:
        for record in records:
            self._entries.apply(record.partition, record.timestamp, record.key, record.value)
