"""Checks a copied log against its source: every record is there, once, and in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from ops.growing.copier import COPIED, Offsets
from ops.growing.group import between, settled_ends
from schemas.errors import HarkError
from streams.kafka.log import Record, groupless_consumer

Flow = tuple[int, int]
"""An old and a new partition."""


@dataclass
class Counts:
    """The copies by where they came from and where they are.

    Attributes
    ----------
    copies
        Number of copies by flow.
    first, last
        Offset of the first and last original by flow.
    """

    copies: dict[Flow, int] = field(default_factory=dict)
    first: dict[Flow, int] = field(default_factory=dict)
    last: dict[Flow, int] = field(default_factory=dict)

    def see(self, record: Record) -> None:
        """Count a copy; other records were published there.

        Raises
        ------
        HarkError
            The record was copied before, or follows one that it was behind.
        """
        came = next((value for name, value in record.headers if name == COPIED), None)
        if came is None:
            return
        number, _, offset = came.partition(b"/")
        flow, at = (int(number), record.partition), int(offset)
        if at <= self.last.get(flow, -1):
            raise HarkError(
                f"{record.topic}[{record.partition}] at offset {record.offset}: the copy of offset "
                f"{at} of partition {flow[0]} comes twice or out of order"
            )
        self.first.setdefault(flow, at)
        self.last[flow] = at
        self.copies[flow] = self.copies.get(flow, 0) + 1


async def prove(
    client: dict[str, Any],
    old: Sequence[TopicPartition],
    new: Sequence[TopicPartition],
    positions: Offsets,
    targets: Callable[[Record], Sequence[int]],
    advance: Callable[[int], None],
) -> int:
    """Compare both logs -> the number of copies.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    old, new
        The partitions of both logs.
    positions
        How far each old partition was copied.
    targets
        The new partitions of a record.
    advance
        Told how many records were read.

    Raises
    ------
    HarkError
        A record is missing, comes twice or out of order.
    """
    found, due = Counts(), dict[Flow, int]()
    ends = await settled_ends(client, new)
    consumer = groupless_consumer(client)
    await consumer.start()
    try:
        consumer.assign([*old, *new])
        begins: Mapping[TopicPartition, int] = await consumer.beginning_offsets([*old, *new])
        for tp in new:
            async for records in between(consumer, tp, begins[tp], ends[tp]):
                for record in records:
                    found.see(record)
                advance(len(records))
        # A new partition whose beginning is deleted holds the originals from its first copy on.
        whole = {tp.partition for tp in new if begins[tp] == 0}
        for tp in old:
            async for records in between(consumer, tp, begins[tp], positions[tp]):
                for record in records:
                    for number in targets(record):
                        flow = tp.partition, number
                        first = begins[tp] if number in whole else found.first.get(flow, 2**63)
                        if record.offset >= first:
                            due[flow] = due.get(flow, 0) + 1
                advance(len(records))
    finally:
        await consumer.stop()
    _compare(found, due, {tp.partition: begins[tp] for tp in old})
    return sum(found.copies.values())


def _compare(found: Counts, due: Mapping[Flow, int], begins: Mapping[int, int]) -> None:
    for flow in sorted({*due, *found.copies}):
        copies, originals = found.copies.get(flow, 0), due.get(flow, 0)
        # The old log may have deleted originals since they were copied.
        if copies < originals or (copies > originals and found.first[flow] >= begins[flow[0]]):
            raise HarkError(
                f"of partition {flow[0]} there are {originals} records for the new partition "
                f"{flow[1]}, and {copies} copies"
            )
