"""How far dead letters were replayed: committed offsets, a consumer group per kind of letter.

Letters with the same reason, partition of the events and attempt are a kind. A replay publishes
each kind in the order of its offsets, so a single offset tells which letters of the kind were
replayed, and no filter of `hark dead-letters replay` cuts a kind in two. A commit is a small,
replicated write, and `kafka-consumer-groups` shows, resets and deletes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ops.dead_letters.letters import Letter


class ReplayPositions:
    """The replay positions of a topic of dead letters; an asynchronous context.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    groups
        Prefix of the consumer groups' names.
    topic
        Topic of the dead letters.
    """

    def __init__(self, client: dict[str, Any], groups: str, topic: str) -> None:
        self._client = client
        self._groups = groups
        self._topic = topic
        self._admin = AIOKafkaAdminClient(**client)
        self._positions: dict[str, dict[int, int]] = {}  # group -> partition -> offset
        self._committers: dict[str, AIOKafkaConsumer] = {}

    async def __aenter__(self) -> ReplayPositions:
        try:
            await self._admin.start()
        except BaseException:
            await self._admin.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for consumer in self._committers.values():
            await consumer.stop()
        await self._admin.close()

    def group(self, letter: Letter) -> str:
        """Name of the consumer group for the letter's kind."""
        return f"{self._groups}-{letter.reason}-{letter.partition}-{letter.attempt}"

    async def has(self, letter: Letter) -> bool:
        """Whether the letter was replayed, by this run or an earlier one."""
        group = self.group(letter)
        if group not in self._positions:
            found = await self._admin.list_consumer_group_offsets(group)
            self._positions[group] = {
                tp.partition: at.offset for tp, at in found.items() if tp.topic == self._topic
            }
        partition, offset = letter.at
        return offset < self._positions[group].get(partition, 0)

    async def keep(self, letters: Iterable[Letter]) -> None:
        """Commit the positions of published letters, for which `has` was called before."""
        touched: set[str] = set()
        for letter in letters:
            group, (partition, offset) = self.group(letter), letter.at
            ends = self._positions.setdefault(group, {})
            ends[partition] = max(ends.get(partition, 0), offset + 1)
            touched.add(group)
        for group in sorted(touched):
            consumer = await self._committer(group)
            await consumer.commit(
                {TopicPartition(self._topic, p): at for p, at in self._positions[group].items()}
            )

    async def _committer(self, group: str) -> AIOKafkaConsumer:
        if group not in self._committers:
            consumer = AIOKafkaConsumer(**self._client, group_id=group, enable_auto_commit=False)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._committers[group] = consumer
        consumer = self._committers[group]
        consumer.assign([TopicPartition(self._topic, p) for p in self._positions[group]])
        return consumer
