"""The catalogue: every worker reads the whole compacted topic `items`, then follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiokafka import TopicPartition

from schemas.events import ItemUpsert
from streams.items import ItemTable
from streams.log import Record, groupless_consumer

log = structlog.get_logger(__name__)
Apply = Callable[[Callable[[], None]], Awaitable[None]]


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
        Runs a function where the table may be changed (the scoring thread).
    """

    def __init__(self, client: dict[str, Any], topic: str, items: ItemTable, apply: Apply) -> None:
        self._topic = topic
        self._items = items
        self._apply = apply
        self._consumer = groupless_consumer(client)
        self._decode = msgspec.json.Decoder(ItemUpsert).decode
        self.task: asyncio.Task[None] | None = None
        self.rejected = 0

    async def start(self, partition_count: int) -> None:
        """Read what is there in the topic's partitions, then follow in the background."""
        await self._consumer.start()
        partitions = [TopicPartition(self._topic, number) for number in range(partition_count)]
        self._consumer.assign(partitions)
        ends = await self._consumer.end_offsets(partitions)
        while any([await self._consumer.position(tp) < ends[tp] for tp in partitions]):
            await self._poll()
        log.info("catalogue.read", items=len(self._items), rejected=self.rejected)
        self.task = asyncio.create_task(self._follow(), name="hark-catalogue")

    async def stop(self) -> None:
        """Stop following."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            await self._poll()

    async def _poll(self) -> None:
        fetched = await self._consumer.getmany(timeout_ms=1000, max_records=2000)
        records = [record for group in fetched.values() for record in group]
        if records:
            await self._apply(lambda: self._upsert(records))

    def _upsert(self, records: list[Record]) -> None:
        for record in records:
            try:
                item_id = (record.key or b"").decode()
                entry = None if record.value is None else self._decode(record.value)
            except (UnicodeDecodeError, msgspec.DecodeError) as error:
                self.rejected += 1
                log.warning("catalogue.rejected", offset=record.offset, why=str(error))
                continue
            if not item_id:
                self.rejected += 1
            elif entry is None:
                self._items.remove(item_id)
            else:
                self._items.upsert(
                    item_id,
                    category=entry.category,
                    price=entry.price,
                    available=entry.available,
                )
