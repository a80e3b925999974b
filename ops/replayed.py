"""Which dead letters were replayed already, kept as the metadata of a consumer group's commits.

A group of its own per worker group commits, for each partition of the dead letters, the ranges
of offsets that were published again. A commit is one small, replicated write, needs no topic of
its own, and `kafka-consumer-groups` shows and deletes it.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

MAX_METADATA = 4000
"""Brokers take 4,096 bytes (`offset.metadata.max.bytes`)."""


class Ranges:
    """A set of offsets as ranges, written in a few bytes.

    Examples
    --------
    >>> done = Ranges()
    >>> for offset in (5, 3, 4, 9):
    ...     done.add(offset)
    >>> str(done), 4 in done, 6 in done
    ('3-5,9', True, False)
    >>> str(Ranges.parse("3-5,9"))
    '3-5,9'
    """

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []  # first and last, rising, with gaps between

    def __contains__(self, offset: int) -> bool:
        return any(first <= offset <= last for first, last in self._ranges)

    def __str__(self) -> str:
        return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in self._ranges)

    @property
    def end(self) -> int:
        """The offset after the last one."""
        return self._ranges[-1][1] + 1 if self._ranges else 0

    @classmethod
    def parse(cls, text: str) -> Ranges:
        """What `str` wrote; anything else is empty."""
        ranges = cls()
        try:
            for part in text.split(",") if text else []:
                first, _, last = part.partition("-")
                ranges._ranges.append((int(first), int(last or first)))
        except ValueError:
            return cls()
        return ranges

    def add(self, offset: int) -> None:
        """Put one in."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted([*self._ranges, (offset, offset)]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        self._ranges = merged

    def shortened(self) -> str:
        """As text within what a commit takes: the oldest ranges go first."""
        text = str(self)
        while len(text) > MAX_METADATA:
            self._ranges = self._ranges[1:]
            text = str(self)
        return text


class Replayed:
    """The letters of a topic that were replayed.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    group
        Whose commits say so.
    topic
        Of the dead letters.
    """

    def __init__(self, client: dict[str, Any], group: str, topic: str) -> None:
        self._client = client
        self._group = group
        self._topic = topic
        self._done: dict[int, Ranges] = {}

    def __contains__(self, at: tuple[int, int]) -> bool:
        return at[0] in self._done and at[1] in self._done[at[0]]

    async def load(self) -> None:
        """Read what was kept."""
        admin = AIOKafkaAdminClient(**self._client)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self._group)
        finally:
            await admin.close()
        self._done = {
            tp.partition: Ranges.parse(at.metadata)
            for tp, at in found.items()
            if tp.topic == self._topic and at.offset >= 0
        }

    async def keep(self, letters: list[tuple[int, int]]) -> None:
        """Add these letters, by partition and offset, and write all of it."""
        for partition, offset in letters:
            self._done.setdefault(partition, Ranges()).add(offset)
        consumer = AIOKafkaConsumer(**self._client, group_id=self._group, enable_auto_commit=False)
        await consumer.start()
        try:
            touched = {partition for partition, _ in letters}
            consumer.assign([TopicPartition(self._topic, partition) for partition in touched])
            await consumer.commit(
                {
                    TopicPartition(self._topic, partition): OffsetAndMetadata(
                        self._done[partition].end, self._done[partition].shortened()
                    )
                    for partition in touched
                }
            )
        finally:
            await consumer.stop()
