"""What the cluster knows of a run: ends, commits, members, and each record's broker time."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code

from ops.benchmarks.ingest import PARTITIONS, delete_topics
from ops.benchmarks.latency.load import number
from ops.kafka_admin.topics import create_topics
from schemas.errors import ConfigError, TransientError
from schemas.topics import EVENTS, RECOMMENDATIONS, TopicSpec, topics
from streams.kafka.log import groupless_consumer, read_from
from streams.kafka.settings import Kafka
from streams.kafka.topic_settings import configs

Offsets = dict[int, int]
"""Partition of `events` -> offset."""
_TIMED = (EVENTS.name, RECOMMENDATIONS.name)
_BY_BROKER = {"message.timestamp.type": "LogAppendTime"}
_POLL_S = 0.25


class _Event(msgspec.Struct):
    message_id: str = msgspec.field(name="messageId")


class _Output(msgspec.Struct):
    trigger_message_id: str


_event_of = msgspec.json.Decoder(_Event).decode
_output_of = msgspec.json.Decoder(_Output).decode


@asynccontextmanager
async def timed_topics(kafka: Kafka) -> AsyncIterator[Kafka]:
    """Topics and a group of their own, records dated by the broker; the topics are deleted after.

    Yields
    ------
    Kafka
        The section with the prefix and the group.
    """
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    specs = topics(prefix, PARTITIONS)
    await create_topics(kafka.client(), specs, kafka.replication_factor)
    try:
        await _set_timed(kafka, [spec for spec in specs if spec.role in _TIMED])
        yield kafka.model_copy(update={"topic_prefix": prefix, "group_id": f"{prefix}hark"})
    finally:
        await delete_topics(kafka, [spec.name for spec in specs])


async def _set_timed(kafka: Kafka, specs: list[TopicSpec]) -> None:
    admin = AIOKafkaAdminClient(**kafka.client())
    await admin.start()
    try:
        asked = [
            # The request replaces all of a topic's settings.
            ConfigResource(ConfigResourceType.TOPIC, spec.name, configs(spec) | _BY_BROKER)
            for spec in specs
        ]
        (answer,) = await admin.alter_configs(asked)
    finally:
        await admin.close()
    for code, message, _type, name in answer.resources:
        if code:
            raise ConfigError(
                f"topic {name}: no broker times ({message or for_code(code).__name__})"
            )


class Watch:
    """Looks at a run's topics and group, outside the group.

    Parameters
    ----------
    kafka
        With the prefix of the topics and the group.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._topic = kafka.topic_prefix + EVENTS.name

    async def __aenter__(self) -> Watch:
        client = self._kafka.client()
        self._admin = AIOKafkaAdminClient(**client)
        self._consumer: AIOKafkaConsumer = groupless_consumer(client)
        await self._admin.start()
        await self._consumer.start()
        (described,) = await self._admin.describe_topics([self._topic])
        self._partitions = [
            TopicPartition(self._topic, part["partition"]) for part in described["partitions"]
        ]
        self._consumer.assign(self._partitions)
        self._consumer.pause(*self._partitions)  # it only asks for ends
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def ends(self) -> Offsets:
        """The ends of the partitions of `events`."""
        found = await self._consumer.end_offsets(self._partitions)
        return {each.partition: offset for each, offset in found.items()}

    async def handled(self, ends: Offsets) -> bool:
        """Whether the group has committed everything before `ends`, so that it is published."""
        try:
            found = await self._admin.list_consumer_group_offsets(
                self._kafka.group_id, partitions=self._partitions
            )
        except KafkaError:  # the group or its coordinator is new
            return False
        committed = {each.partition: offset.offset for each, offset in found.items()}
        return all(committed.get(partition, 0) >= end for partition, end in ends.items() if end)

    async def members(self) -> dict[str, set[int]] | None:
        """The partitions of each member by its id, None while the group isn't stable."""
        try:
            (answer,) = await self._admin.describe_consumer_groups([self._kafka.group_id])
        except KafkaError:
            return None
        (_code, _group, state, _type, _protocol, members, *_) = answer.groups[0]
        if state != "Stable":
            return None
        return {member[0]: _assigned(member[4], self._topic) for member in members}

    async def until_handled(self, check: Callable[[], object], timeout_s: float) -> None:
        """Wait until everything that is in `events` now is handled."""
        ends = await self.ends()
        await until(lambda: self.handled(ends), "events are handled", check, timeout_s)

    async def records(self) -> pl.DataFrame:
        """One row per event, in the order of its partition.

        Returns
        -------
        polars.DataFrame
            `number` (of the event in the load), `partition`, `offset`, `event_ms` and `output_ms`
            (broker times; null: no output, of several the first).
        """
        client, prefix = self._kafka.client(), self._kafka.topic_prefix
        rows = [
            (number(_event_of(record.value).message_id), each.partition, record.offset,
             record.timestamp)
            for each in self._partitions
            async for found in read_from(client, each, 0)
            for record in found
        ]  # fmt: skip
        columns = ["number", "partition", "offset", "event_ms"]
        events = pl.DataFrame(rows, dict.fromkeys(columns, pl.Int64), orient="row")
        topic = prefix + RECOMMENDATIONS.name
        (described,) = await self._admin.describe_topics([topic])
        answered = [
            (number(_output_of(record.value).trigger_message_id), record.timestamp)
            for part in described["partitions"]
            async for found in read_from(client, TopicPartition(topic, part["partition"]), 0)
            for record in found
        ]
        outputs = pl.DataFrame(answered, {"number": pl.Int64, "output_ms": pl.Int64}, orient="row")
        first = outputs.group_by("number").agg(pl.col("output_ms").min())
        return events.join(first, on="number", how="left").sort("partition", "offset")


async def until(
    condition: Callable[[], Awaitable[bool]],
    what: str,
    check: Callable[[], object],
    timeout_s: float,
) -> None:
    """Wait until `condition` holds; `check` raises if it can't hold any more.

    Raises
    ------
    TransientError
        It took too long.
    """
    clock = asyncio.get_running_loop().time
    end_s = clock() + timeout_s
    while not await condition():
        check()
        if clock() > end_s:
            raise TransientError(f"waited {timeout_s:.0f} s until {what}")
        await asyncio.sleep(_POLL_S)


def _assigned(assignment: bytes, topic: str) -> set[int]:
    if not assignment:
        return set()
    found = ConsumerProtocolMemberAssignment.decode(assignment).assignment
    return {partition for name, partitions in found if name == topic for partition in partitions}
