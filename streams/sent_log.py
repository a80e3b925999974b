"""Lists that were sent after a checkpoint, read back from the topic they were sent to.

A replay decides nothing, so it can't know what was sent; without it, users would be sent again
what they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import structlog
from aiokafka import TopicPartition

from schemas.columns import EventColumns
from schemas.outputs import Recommendation
from streams.histories import Applied
from streams.items import NO_ITEM, ItemTable
from streams.log import groupless_consumer, read_range
from streams.recommend import SentLists, list_hashes

log = structlog.get_logger(__name__)

Sent: TypeAlias = "Mapping[str, list[str]]"
"""Items, best first, by the message id of the event that triggered the list."""


async def read_lists(client: dict[str, Any], partition: TopicPartition, begin: int) -> Sent:
    """The lists in one partition of the recommendations topic from offset `begin` on."""
    consumer = groupless_consumer(client)
    await consumer.start()
    decode = msgspec.json.Decoder(Recommendation).decode
    found: dict[str, list[str]] = {}
    try:
        consumer.assign([partition])
        consumer.seek(partition, begin)
        end = (await consumer.end_offsets([partition]))[partition]
        async for records in read_range(consumer, partition, end):
            for record in records:
                try:
                    said = decode(record.value or b"")
                except msgspec.DecodeError:
                    log.warning("recommendations.unreadable", offset=record.offset)
                    continue
                found[said.trigger_message_id] = [item.item_id for item in said.items]
    finally:
        await consumer.stop()
    return found


def recall(
    lists: SentLists, sent: Sent, columns: EventColumns, applied: Applied, items: ItemTable
) -> None:
    """Note what was sent at the decision points of a batch that was applied without output."""
    points = applied.points
    ids = columns.message_ids
    at = [i for i, row in enumerate(points.rows.tolist()) if ids[row] in sent]
    if not at:
        return
    rows = points.rows[at]
    shown = [items.indices(sent[ids[row]]) for row in rows.tolist()]
    table = np.full((len(shown), max(map(len, shown))), NO_ITEM, np.int32)
    for line, found in zip(table, shown, strict=True):
        line[: len(found)] = found
    hashes = list_hashes(table, items.hashes)
    lists.restore(applied.slots[rows], applied.owners[at], hashes, columns.time_ms[rows])
