"""Dead letters as they lie in their topic: read, filtered, counted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import TransientError
from schemas.topics import TopicSpec
from streams.kafka.cluster_check import check_cluster
from streams.kafka.log import Record, groupless_consumer, read_range


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes
    ----------
    at
        Partition and offset in the topic of dead letters.
    dead_ms
        When it was written there, ms since 1970.
    topic, partition, offset, timestamp
        Of the record it was.
    attempt
        How often the record has been refused by now.
    headers
        The record's own.
    """

    at: tuple[int, int]
    dead_ms: int
    topic: str
    partition: int
    offset: int
    timestamp: int
    reason: str
    detail: str
    code_version: str
    attempt: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @classmethod
    def read(cls, record: Record) -> Letter | None:
        """The letter that a record of the topic is; None where Hark didn't write it."""
        story = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        try:
            return cls(
                at=(record.partition, record.offset),
                dead_ms=record.timestamp,
                topic=story["hark-topic"],
                partition=int(story["hark-partition"]),
                offset=int(story["hark-offset"]),
                timestamp=int(story["hark-timestamp"]),
                reason=story["hark-reason"],
                detail=story["hark-detail"],
                code_version=story["hark-code-version"],
                attempt=int(story["hark-attempt"]),
                key=record.key,
                value=record.value,
                headers=tuple((n, v) for n, v in record.headers if not n.startswith("hark-")),
            )
        except (KeyError, ValueError):
            return None

    @property
    def coordinates(self) -> str:
        """Where the record was: what `hark dead-letters show` takes."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters: of these reasons, since then, of that partition; None = any."""

    reasons: frozenset[str] | None = None
    since_ms: int | None = None
    partition: int | None = None

    def admits(self, letter: Letter) -> bool:
        """Whether `letter` is one of them."""
        return (
            (self.reasons is None or letter.reason in self.reasons)
            and (self.since_ms is None or letter.dead_ms >= self.since_ms)
            and (self.partition is None or letter.partition == self.partition)
        )


async def read_letters(
    client: dict[str, Any], topic: TopicSpec, wanted: Wanted
) -> AsyncGenerator[Letter, None]:
    """The letters that are there now and wanted, oldest first within each partition.

    Raises
    ------
    ConfigError
        Kafka can't be reached, or there is no such topic.
    TransientError
        Kafka went away.
    """
    found = await check_cluster(client, [topic])
    consumer = groupless_consumer(client)
    try:
        await consumer.start()
        for number in range(found[topic.name]):
            async with aclosing(_partition(consumer, topic.name, number, wanted)) as letters:
                async for letter in letters:
                    yield letter
    except (KafkaError, OSError) as error:
        raise TransientError(f"no Kafka at {client['bootstrap_servers']}: {error}") from error
    finally:
        await consumer.stop()


async def _partition(
    consumer: Any, topic: str, number: int, wanted: Wanted
) -> AsyncGenerator[Letter, None]:
    partition = TopicPartition(topic, number)
    consumer.assign([partition])
    end = (await consumer.end_offsets([partition]))[partition]
    begin = (await consumer.beginning_offsets([partition]))[partition]
    if wanted.since_ms is not None:
        later = (await consumer.offsets_for_times({partition: wanted.since_ms}))[partition]
        begin = end if later is None else max(begin, later.offset)
    consumer.seek(partition, begin)
    async for records in read_range(consumer, partition, end):
        for record in records:
            letter = Letter.read(record)
            if letter is not None and wanted.admits(letter):
                yield letter
